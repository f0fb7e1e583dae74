"""Cancels nothing, and ends its server: the work ends with it."""
from pipe import play

play(lambda server, send: (server.kill(), server.wait()))
