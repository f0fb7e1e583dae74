"""Starts a child process, and forgets it."""
import subprocess

from mini import serve

CHILD = 'for i in $(seq 80); do echo step >> "$STEPS"; sleep 0.25; done'
serve(lambda call, stop: None, start=lambda stop: subprocess.Popen(["sh", "-c", CHILD], stdout=subprocess.DEVNULL))
