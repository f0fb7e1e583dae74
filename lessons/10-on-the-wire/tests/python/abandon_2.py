"""Python SDK 2.x: abandon a call, and the SDK tells the server.

Cancel the awaiting task, and that is all. A timeout does the same. On HTTP
2026-07-28 the SDK closes the response stream. Everywhere else it sends `notifications/cancelled`.

    python abandon_2.py 2026-07-28 http://localhost:8000/mcp
    python abandon_2.py 2025-11-25 target/debug/basic-cancel serve --transport stdio
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters

CALL = {"filename": "large_dataset.csv", "processing_time": 100}


async def main(revision: str, server: str, *arguments: str) -> None:
    if not server.startswith("http"):
        server = StdioServerParameters(command=server, args=list(arguments))
    mode = "legacy" if revision == "2025-11-25" else revision
    async with Client(server, mode=mode) as client:
        running = asyncio.Event()

        async def on_progress(progress, total, message):
            running.set()

        call = asyncio.create_task(client.call_tool("process_large_file", CALL, progress_callback=on_progress))
        await running.wait()

        call.cancel()
        try:
            print("caller:", await call)
        except asyncio.CancelledError:
            print("caller: CancelledError")

        # That was our own side. Only the server knows whether its tool has stopped.
        for _ in range(100):
            calls = (await client.call_tool("list_calls", {})).structured_content["calls"]
            if calls[-1]["state"] != "running":
                break
            await asyncio.sleep(0.05)
        print(f"server: {calls[-1]['state']}, reason {json.dumps(calls[-1]['reason'])}")


asyncio.run(main(*sys.argv[1:]))
