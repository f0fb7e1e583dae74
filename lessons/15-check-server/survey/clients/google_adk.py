"""Google ADK: python google_adk.py URL [SECONDS]"""
import asyncio
import sys
from unittest.mock import MagicMock

from enter import CALL, TOOL, stop_on_enter
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams


async def main(url, seconds=60):
    params = StreamableHTTPConnectionParams(url=url, sse_read_timeout=float(seconds))
    toolset = McpToolset(connection_params=params, tool_filter=[TOOL])
    [tool] = await toolset.get_tools()
    context = MagicMock()  # what an agent would pass
    await stop_on_enter(tool.run_async(args=CALL, tool_context=context))


asyncio.run(main(*sys.argv[1:]))
