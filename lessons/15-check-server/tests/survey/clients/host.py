"""A host of few lines, without packages: HOST SERVER [stop|close|wait]. It is honest or not, as its caller says."""
import json
import signal
import sys
import threading
import urllib.request

URL, WAY = sys.argv[1:3]
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def post(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    answer = urllib.request.urlopen(urllib.request.Request(URL, body, HEADERS))
    session = answer.headers.get("Mcp-Session-Id")
    if session:
        HEADERS["Mcp-Session-Id"] = session
    return answer.read()


def cancel(request_id):
    post({"method": "notifications/cancelled", "params": {"requestId": request_id, "reason": "stop"}})


def play(on_stop):
    """Calls the tool under the id 7. `on_stop` is what it does when its user stops it."""
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "host", "version": "1"}}
    post({"id": 0, "method": "initialize", "params": hello})
    post({"method": "notifications/initialized"})
    work = {"name": "process_large_file", "arguments": {"filename": "large_dataset.csv", "processing_time": 18}}
    call = {"id": 7, "method": "tools/call", "params": work}
    threading.Thread(target=post, args=[call], daemon=True).start()
    try:
        sys.stdin.readline() if WAY != "wait" else signal.pause()
    except KeyboardInterrupt:
        on_stop()
        sys.exit()
    on_stop()
    print("told: Cancelled: the tool has stopped", flush=True)
    sys.stdin.readline()
