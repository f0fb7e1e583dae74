"""Python SDK 2.x"""
from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from mcp import Client, StdioServerParameters, stdio_client


async def main():
    server = SERVER if HTTP else stdio_client(StdioServerParameters(command=SERVER))
    async with Client(server) as client:
        await stop_on_enter(client.call_tool(TOOL, CALL, read_timeout_seconds=SECONDS))


run(main)
