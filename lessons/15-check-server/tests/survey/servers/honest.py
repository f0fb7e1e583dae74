from mini import serve

serve(lambda call, stop: stop.set())
