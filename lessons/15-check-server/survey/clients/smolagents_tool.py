"""smolagents, whose tools are not async: python smolagents_tool.py URL [SECONDS]"""
import asyncio
import sys
from datetime import timedelta

from enter import CALL, TOOL, stop_on_enter
from smolagents import MCPClient


async def main(url, seconds=60):
    server = {"url": url, "transport": "streamable-http"}
    kwargs = {"client_session_timeout_seconds": timedelta(seconds=float(seconds))}
    with MCPClient(server, adapter_kwargs=kwargs, structured_output=True) as tools:
        tool = next(tool for tool in tools if tool.name == TOOL)
        await stop_on_enter(asyncio.to_thread(tool, **CALL))


asyncio.run(main(*sys.argv[1:]))
