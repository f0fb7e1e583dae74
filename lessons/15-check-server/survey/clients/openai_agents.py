"""openai-agents"""
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp
from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter


async def main():
    # The default timeout is 5 seconds.
    timeout = {"client_session_timeout_seconds": SECONDS}
    stdio = MCPServerStdio({"command": SERVER}, **timeout)
    async with MCPServerStreamableHttp({"url": SERVER}, **timeout) if HTTP else stdio as server:
        await stop_on_enter(server.call_tool(TOOL, CALL))


run(main)
