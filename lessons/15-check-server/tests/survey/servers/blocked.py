"""Works where it reads."""
from mini import serve, work

serve(lambda call, stop: None, start=work)
