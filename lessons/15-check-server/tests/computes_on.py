"""A stdio server that is silent after a cancel, as it should be, and computes on in its thread."""
import json, sys, threading, time

def compute():
    end = time.time() + 60
    while time.time() < end: sum(range(1000))

def say(message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

TOOL = {"name": "slow_sum", "inputSchema": {"type": "object", "properties": {"seconds": {"type": "number"}}}}
RESULTS = {"initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                          "serverInfo": {"name": "polite", "version": "1"}}, "tools/list": {"tools": [TOOL]}}
for asked in map(json.loads, sys.stdin):
    if asked["method"] == "tools/call": threading.Thread(target=compute, daemon=True).start()
    elif "id" in asked: say({"id": asked["id"], "result": RESULTS.get(asked["method"], {})})
