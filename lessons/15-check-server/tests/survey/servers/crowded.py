"""Reads nothing more once 39 of its calls are cancelled, until their work is done."""
import time

from mini import serve

cancelled = []


def on_cancel(call, stop):
    cancelled.append(call)
    if len(cancelled) == 39:
        time.sleep(20)


serve(on_cancel)
