"""smolagents, whose tools are not async"""
import asyncio
from datetime import timedelta

from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from mcp import StdioServerParameters
from smolagents import MCPClient


async def main():
    http = {"url": SERVER, "transport": "streamable-http"}
    server = http if HTTP else StdioServerParameters(command=SERVER)
    kwargs = {"client_session_timeout_seconds": timedelta(seconds=SECONDS)}
    with MCPClient(server, adapter_kwargs=kwargs, structured_output=True) as tools:
        tool = next(tool for tool in tools if tool.name == TOOL)
        await stop_on_enter(asyncio.to_thread(tool, **CALL))


run(main)
