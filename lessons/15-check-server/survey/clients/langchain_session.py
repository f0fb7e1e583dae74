"""LangChain, load_mcp_tools(session)"""
from datetime import timedelta

from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools


async def main():
    kwargs = {"read_timeout_seconds": timedelta(seconds=SECONDS)}
    http = {"transport": "streamable_http", "url": SERVER, "session_kwargs": kwargs}
    stdio = {"transport": "stdio", "command": SERVER, "args": [], "session_kwargs": kwargs}
    client = MultiServerMCPClient({"server": http if HTTP else stdio})
    async with client.session("server") as session:
        tools = await load_mcp_tools(session)
        tool = next(tool for tool in tools if tool.name == TOOL)
        await stop_on_enter(tool.ainvoke(CALL))


run(main)
