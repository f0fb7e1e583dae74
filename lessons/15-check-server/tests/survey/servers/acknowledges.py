"""Answers that it has stopped, and works on."""
from mini import say, serve

serve(lambda call, stop: say({"id": call, "error": {"code": -32800, "message": "Request cancelled"}}))
