"""Python SDK 1.x: cancel a call by its request id, over HTTP 2025-11-25.

The SDK has no public way to learn the id of a request under way: `send_request` takes the
next one from a private counter. `notifications/cancelled` names it; the awaited call then
ends with the JSON-RPC error -32800.

    python cancel_by_id.py http://localhost:8000/mcp
"""

import asyncio
import sys
import time

from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamablehttp_client


async def main(url: str) -> None:
    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        request_id = session._request_id  # the id that the next request will carry

        running = asyncio.Event()

        async def on_progress(progress, total, message):
            running.set()

        params = types.CallToolRequestParams(
            name="process_large_file", arguments={"filename": "large_dataset.csv", "processing_time": 100}
        )
        call = asyncio.create_task(
            session.send_request(
                types.ClientRequest(types.CallToolRequest(params=params)),
                types.CallToolResult,
                progress_callback=on_progress,
            )
        )
        await running.wait()

        cancel = types.CancelledNotification(
            params=types.CancelledNotificationParams(requestId=request_id, reason="stop, says Python")
        )
        sent = time.monotonic()
        await session.send_notification(types.ClientNotification(cancel))
        try:
            print("unexpected result:", await asyncio.wait_for(call, 10))
        except McpError as error:
            print(f"McpError {error.error.code}: {error.error.message}")
            print("within 1 s:", time.monotonic() - sent < 1)


asyncio.run(main(sys.argv[1]))
