"""Says nothing, and stops after some steps more."""
import threading

from mini import serve

serve(lambda call, stop: threading.Timer(2, stop.set).start())
