"""A stdio server whose tool opens a connection to a backend: `keeps` it after a cancel, or `closes` it."""
import json, socket, sys

BACKEND, HELD = socket.create_server(("127.0.0.1", 0)), []

def say(message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

TOOL = {"name": "slow_query", "inputSchema": {"type": "object", "properties": {"seconds": {"type": "number"}}}}
RESULTS = {"initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                          "serverInfo": {"name": "holder", "version": "1"}}, "tools/list": {"tools": [TOOL]}}
for asked in map(json.loads, sys.stdin):
    if asked["method"] == "tools/call": HELD.append((socket.create_connection(BACKEND.getsockname()), BACKEND.accept()))
    elif asked["method"] == "notifications/cancelled" and sys.argv[1] == "closes": HELD.clear()
    elif "id" in asked: say({"id": asked["id"], "result": RESULTS.get(asked["method"], {})})
