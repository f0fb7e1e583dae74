"""LangChain, load_mcp_tools(session): python langchain_session.py URL [SECONDS]"""
import asyncio
import sys
from datetime import timedelta

from enter import CALL, TOOL, stop_on_enter
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools


async def main(url, seconds=60):
    kwargs = {"read_timeout_seconds": timedelta(seconds=float(seconds))}
    server = {"transport": "streamable_http", "url": url, "session_kwargs": kwargs}
    async with MultiServerMCPClient({"server": server}).session("server") as session:
        tools = await load_mcp_tools(session)
        tool = next(tool for tool in tools if tool.name == TOOL)
        await stop_on_enter(tool.ainvoke(CALL))


asyncio.run(main(*sys.argv[1:]))
