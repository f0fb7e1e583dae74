from host import cancel, play

play(lambda: cancel(7))
