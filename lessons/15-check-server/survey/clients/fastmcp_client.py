"""FastMCP's client"""
from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from fastmcp import Client
from fastmcp.client.transports import StdioTransport


async def main():
    async with Client(SERVER if HTTP else StdioTransport(SERVER, [])) as client:
        await stop_on_enter(client.call_tool(TOOL, CALL, timeout=SECONDS))


run(main)
