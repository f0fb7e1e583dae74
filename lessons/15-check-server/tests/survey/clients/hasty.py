"""Tells its user at once, and cancels when half of the work is done."""
import threading
import time

from host import cancel, play


def much_later():
    time.sleep(2)
    cancel(7)


play(lambda: threading.Thread(target=much_later, daemon=True).start())
