"""AutoGen: python autogen_workbench.py URL [SECONDS]"""
import asyncio
import sys

from autogen_ext.tools.mcp import McpWorkbench, StreamableHttpServerParams
from enter import CALL, TOOL, stop_on_enter


async def main(url, seconds=60):
    params = StreamableHttpServerParams(url=url, sse_read_timeout=float(seconds))
    async with McpWorkbench(params) as workbench:
        await stop_on_enter(workbench.call_tool(TOOL, CALL))


asyncio.run(main(*sys.argv[1:]))
