"""FastMCP's client: python fastmcp_client.py URL [SECONDS]"""
import asyncio
import sys

from enter import CALL, TOOL, stop_on_enter
from fastmcp import Client


async def main(url, seconds=60):
    async with Client(url) as client:
        await stop_on_enter(client.call_tool(TOOL, CALL, timeout=float(seconds)))


asyncio.run(main(*sys.argv[1:]))
