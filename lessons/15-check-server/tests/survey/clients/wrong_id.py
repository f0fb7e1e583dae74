"""Cancels a request that it never sent. "7" is not 7."""
from host import cancel, play

play(lambda: cancel("7"))
