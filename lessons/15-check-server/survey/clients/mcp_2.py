"""Python SDK 2.x: python mcp_2.py URL [SECONDS]"""
import asyncio
import sys

from enter import CALL, TOOL, stop_on_enter
from mcp import Client


async def main(url, seconds=60):
    async with Client(url) as client:
        await stop_on_enter(client.call_tool(TOOL, CALL, read_timeout_seconds=float(seconds)))


asyncio.run(main(*sys.argv[1:]))
