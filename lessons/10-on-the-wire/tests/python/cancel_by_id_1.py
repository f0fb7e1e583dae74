"""Python SDK 1.x: cancel a call by its request id.

The SDK has no public way to learn the id of a request under way: it takes the next one from a
private counter. `notifications/cancelled` names that id.

    python cancel_by_id_1.py http://localhost:8000/mcp
    python cancel_by_id_1.py target/debug/basic-cancel serve --transport stdio
"""

import asyncio
import json
import sys

from mcp import ClientSession, McpError, StdioServerParameters, stdio_client, types
from mcp.client.streamable_http import streamable_http_client

CALL = {"filename": "large_dataset.csv", "processing_time": 100}


async def main(server: str, *arguments: str) -> None:
    stdio = StdioServerParameters(command=server, args=list(arguments))
    connection = streamable_http_client(server) if server.startswith("http") else stdio_client(stdio)
    async with connection as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        running = asyncio.Event()

        async def on_progress(progress, total, message):
            running.set()

        request_id = session._request_id  # the next request will carry it
        call = asyncio.create_task(session.call_tool("process_large_file", CALL, progress_callback=on_progress))
        await running.wait()

        params = types.CancelledNotificationParams(requestId=request_id, reason="stop, says Python")
        cancel = types.CancelledNotification(params=params)
        await session.send_notification(types.ClientNotification(cancel))

        # A server may end the call with an error, or say nothing more: never wait without a limit.
        try:
            print("caller:", await asyncio.wait_for(call, timeout=5))
        except McpError as error:
            print(f"caller: McpError {error.error.code}: {error}")
        except asyncio.TimeoutError:
            print("caller: nothing, for 5 seconds")

        # Has the tool stopped? Only the server knows.
        for _ in range(100):
            last = (await session.call_tool("list_calls", {})).structuredContent["calls"][-1]
            if last["state"] != "running":
                break
            await asyncio.sleep(0.05)
        print(f"server: {last['state']}, reason {json.dumps(last['reason'])}")


asyncio.run(main(*sys.argv[1:]))
