"""Swears that it has cancelled, and sends nothing."""
from host import play

play(lambda: None)
