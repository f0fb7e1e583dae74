"""A server of few lines, without packages. Each step of its work is a line in the file $STEPS."""
import json
import os
import sys
import threading
import time

PRINT = threading.Lock()


def say(message):
    with PRINT:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def work(stop):
    for _ in range(80):
        if stop.is_set():
            return
        with open(os.environ["STEPS"], "a") as file:
            file.write("step\n")
        time.sleep(0.25)


def in_a_thread(stop):
    threading.Thread(target=work, args=[stop]).start()


def serve(on_cancel, start=in_a_thread):
    """`on_cancel` gets the id and what stops the work, `start` what stops it."""
    stop = threading.Event()
    hello = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "mini", "version": "1"}}
    for line in sys.stdin:
        message = json.loads(line)
        method = message.get("method")
        if method == "tools/call":
            start(stop)
        elif method == "notifications/cancelled":
            on_cancel(message["params"]["requestId"], stop)
        elif "id" in message:
            say({"id": message["id"], "result": hello if method == "initialize" else {}})
    stop.set()
