"""pydantic-ai: python pydantic_ai_toolset.py URL [SECONDS]"""
import asyncio
import sys

from enter import CALL, TOOL, stop_on_enter
from pydantic_ai.mcp import MCPToolset


async def main(url, seconds=60):
    async with MCPToolset(url, read_timeout=float(seconds)) as toolset:
        await stop_on_enter(toolset.direct_call_tool(TOOL, CALL))


asyncio.run(main(*sys.argv[1:]))
