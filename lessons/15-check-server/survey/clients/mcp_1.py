"""Python SDK 1.x: python mcp_1.py URL [SECONDS]"""
import asyncio
import sys
from datetime import timedelta

from enter import CALL, TOOL, stop_on_enter
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def main(url, seconds=60):
    async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        timeout = timedelta(seconds=float(seconds))
        await stop_on_enter(session.call_tool(TOOL, CALL, read_timeout_seconds=timeout))


asyncio.run(main(*sys.argv[1:]))
