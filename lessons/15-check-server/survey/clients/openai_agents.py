"""openai-agents: python openai_agents.py URL [SECONDS]"""
import asyncio
import sys

from agents.mcp import MCPServerStreamableHttp
from enter import CALL, TOOL, stop_on_enter


async def main(url, seconds=60):
    # The default timeout is 5 seconds.
    server = MCPServerStreamableHttp({"url": url}, client_session_timeout_seconds=float(seconds))
    async with server:
        await stop_on_enter(server.call_tool(TOOL, CALL))


asyncio.run(main(*sys.argv[1:]))
