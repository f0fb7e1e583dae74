"""Swears that it has cancelled, and sends nothing."""
from pipe import play

play(lambda server, send: None)
