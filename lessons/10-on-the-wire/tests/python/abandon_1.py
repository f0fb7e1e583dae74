"""Python SDK 1.x: abandoning a call does not tell the server. Its tool runs on.

    python abandon_1.py http://localhost:8000/mcp
"""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

CALL = {"filename": "large_dataset.csv", "processing_time": 100}


async def main(url: str) -> None:
    async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        running = asyncio.Event()

        async def on_progress(progress, total, message):
            running.set()

        call = asyncio.create_task(session.call_tool("process_large_file", CALL, progress_callback=on_progress))
        await running.wait()

        call.cancel()
        try:
            print("caller:", await call)
        except asyncio.CancelledError:
            print("caller: CancelledError")

        # It looks the same as a real cancel. The server knows better: step after step.
        last = {"state": "running", "steps_done": 0}
        while last["state"] == "running" and last["steps_done"] < 5:
            last = (await session.call_tool("list_calls", {})).structuredContent["calls"][-1]
            await asyncio.sleep(0.05)
        print(f"server: {last['state']}, reason {json.dumps(last['reason'])}")


asyncio.run(main(*sys.argv[1:]))
