"""A host of few lines on stdio, without packages: PIPE SERVER. It is honest or not, as its caller says."""
import json
import subprocess
import sys


def play(on_stop):
    """Calls the tool under the id 7. `on_stop` gets the server, and what sends it a message."""
    server = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def send(message):
        server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")

    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "pipe", "version": "1"}}
    send({"id": 0, "method": "initialize", "params": hello})
    server.stdout.readline()
    send({"method": "notifications/initialized"})
    work = {"name": "process_large_file", "arguments": {"filename": "large_dataset.csv", "processing_time": 18}}
    send({"id": 7, "method": "tools/call", "params": work})
    sys.stdin.readline()
    on_stop(server, send)
    print("told: Cancelled: the tool has stopped", flush=True)
    sys.stdin.readline()
