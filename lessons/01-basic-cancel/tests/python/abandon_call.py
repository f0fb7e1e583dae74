"""Python SDK 2.x: abandon a call, and the SDK tells the server.

Cancelling the awaiting task is all there is to it: on 2025-11-25 the SDK sends
`notifications/cancelled`, on 2026-07-28 it closes the response stream. Then we ask the server
whether the tool has stopped.

    python abandon_call.py http://localhost:8000/mcp legacy|2026-07-28
"""

import asyncio
import sys

from mcp import Client


async def main(url: str, mode: str) -> None:
    async with Client(url, mode=mode) as client:
        running = asyncio.Event()

        async def on_progress(progress, total, message):
            running.set()

        arguments = {"filename": "large_dataset.csv", "processing_time": 100}
        call = asyncio.create_task(client.call_tool("process_large_file", arguments, progress_callback=on_progress))
        await running.wait()

        call.cancel()
        await asyncio.wait([call])
        print("here: cancelled" if call.cancelled() else f"here: {call}")

        for _ in range(100):
            calls = (await client.call_tool("list_calls", {})).structured_content["calls"]
            if calls[-1]["state"] != "running":
                break
            await asyncio.sleep(0.01)
        print("server:", calls[-1]["state"])


asyncio.run(main(*sys.argv[1:]))
