"""Strands Agents"""
from datetime import timedelta

from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from strands.tools.mcp import MCPClient


def connect():
    return streamable_http_client(SERVER) if HTTP else stdio_client(StdioServerParameters(command=SERVER))


async def main():
    timeout = timedelta(seconds=SECONDS)
    with MCPClient(connect) as client:
        await stop_on_enter(client.call_tool_async("1", TOOL, CALL, read_timeout_seconds=timeout))


run(main)
