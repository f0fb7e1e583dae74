"""Python SDK 1.x, judged by `mcp-cancel-check client`: python client_1.py URL"""
import asyncio
import sys
from datetime import timedelta

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client


async def main(url: str) -> None:
    async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        await session.call_tool("answer", {})
        for tool in ["cancel_me", "answer_late"]:
            running = asyncio.Event()

            async def on_progress(progress, total, message):
                running.set()

            call = asyncio.create_task(session.call_tool(tool, {}, progress_callback=on_progress))
            await running.wait()
            call.cancel()
            await asyncio.wait([call])
        async def heard(progress, total, message):
            pass

        for tool in ["time_out", "keep_alive", "never_end"]:
            try:
                limit = timedelta(seconds=1)
                await session.call_tool(
                    tool, {}, read_timeout_seconds=limit, progress_callback=heard
                )
            except McpError:
                pass
        await session.call_tool("report", {})


asyncio.run(main(sys.argv[1]))
