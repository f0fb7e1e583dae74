"""pydantic-ai"""
from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from fastmcp.client.transports import StdioTransport
from pydantic_ai.mcp import MCPToolset


async def main():
    server = SERVER if HTTP else StdioTransport(SERVER, [])
    async with MCPToolset(server, read_timeout=SECONDS) as toolset:
        await stop_on_enter(toolset.direct_call_tool(TOOL, CALL))


run(main)
