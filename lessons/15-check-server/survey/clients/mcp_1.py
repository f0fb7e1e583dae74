"""Python SDK 1.x"""
from datetime import timedelta

from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


async def main():
    stdio = StdioServerParameters(command=SERVER)
    connect = streamable_http_client(SERVER) if HTTP else stdio_client(stdio)
    async with connect as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        timeout = timedelta(seconds=SECONDS)
        await stop_on_enter(session.call_tool(TOOL, CALL, read_timeout_seconds=timeout))


run(main)
