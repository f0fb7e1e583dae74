"""Strands Agents: python strands_client.py URL [SECONDS]"""
import asyncio
import sys
from datetime import timedelta

from enter import CALL, TOOL, stop_on_enter
from mcp.client.streamable_http import streamable_http_client
from strands.tools.mcp import MCPClient


async def main(url, seconds=60):
    timeout = timedelta(seconds=float(seconds))
    with MCPClient(lambda: streamable_http_client(url)) as client:
        await stop_on_enter(client.call_tool_async("1", TOOL, CALL, read_timeout_seconds=timeout))


asyncio.run(main(*sys.argv[1:]))
