"""LangChain, get_tools(): python langchain_get_tools.py URL [SECONDS]"""
import asyncio
import sys
from datetime import timedelta

from enter import CALL, TOOL, stop_on_enter
from langchain_mcp_adapters.client import MultiServerMCPClient


async def main(url, seconds=60):
    kwargs = {"read_timeout_seconds": timedelta(seconds=float(seconds))}
    server = {"transport": "streamable_http", "url": url, "session_kwargs": kwargs}
    tools = await MultiServerMCPClient({"server": server}).get_tools()
    tool = next(tool for tool in tools if tool.name == TOOL)
    await stop_on_enter(tool.ainvoke(CALL))


asyncio.run(main(*sys.argv[1:]))
