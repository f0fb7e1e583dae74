"""mcp-use for Python"""
from datetime import timedelta

from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter
from mcp_use import MCPClient


async def main():
    server = {"url": SERVER} if HTTP else {"command": SERVER, "args": []}
    client = MCPClient({"mcpServers": {"server": server}})
    try:
        session = await client.create_session("server")
        timeout = timedelta(seconds=SECONDS)
        await stop_on_enter(session.call_tool(TOOL, CALL, read_timeout_seconds=timeout))
    finally:
        await client.close_all_sessions()


run(main)
