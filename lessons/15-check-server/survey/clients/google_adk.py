"""Google ADK"""
from unittest.mock import MagicMock

from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams, StreamableHTTPConnectionParams
from mcp import StdioServerParameters


async def main():
    http = StreamableHTTPConnectionParams(url=SERVER, sse_read_timeout=SECONDS)
    stdio = StdioConnectionParams(server_params=StdioServerParameters(command=SERVER), timeout=SECONDS)
    toolset = McpToolset(connection_params=http if HTTP else stdio, tool_filter=[TOOL])
    try:
        [tool] = await toolset.get_tools()
        context = MagicMock()  # what an agent would pass
        await stop_on_enter(tool.run_async(args=CALL, tool_context=context))
    finally:
        await toolset.close()


run(main)
