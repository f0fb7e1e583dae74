"""LangChain, get_tools(): each call has a session of its own, and nothing can be closed"""
from datetime import timedelta

from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from langchain_mcp_adapters.client import MultiServerMCPClient


async def main():
    kwargs = {"read_timeout_seconds": timedelta(seconds=SECONDS)}
    http = {"transport": "streamable_http", "url": SERVER, "session_kwargs": kwargs}
    stdio = {"transport": "stdio", "command": SERVER, "args": [], "session_kwargs": kwargs}
    tools = await MultiServerMCPClient({"server": http if HTTP else stdio}).get_tools()
    tool = next(tool for tool in tools if tool.name == TOOL)
    await stop_on_enter(tool.ainvoke(CALL))


run(main)
