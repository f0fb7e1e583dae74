"""mcp-use for Python: python mcp_use_client.py URL [SECONDS]"""
import asyncio
import sys
from datetime import timedelta

from enter import CALL, TOOL, stop_on_enter
from mcp_use import MCPClient


async def main(url, seconds=60):
    client = MCPClient({"mcpServers": {"server": {"url": url}}})
    session = await client.create_session("server")
    timeout = timedelta(seconds=float(seconds))
    await stop_on_enter(session.call_tool(TOOL, CALL, read_timeout_seconds=timeout))


asyncio.run(main(*sys.argv[1:]))
