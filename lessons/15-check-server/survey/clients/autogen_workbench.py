"""AutoGen"""
from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams, StreamableHttpServerParams
from enter import CALL, HTTP, SECONDS, SERVER, TOOL, run, stop_on_enter


async def main():
    http = StreamableHttpServerParams(url=SERVER, sse_read_timeout=SECONDS)
    stdio = StdioServerParams(command=SERVER, read_timeout_seconds=SECONDS)
    async with McpWorkbench(http if HTTP else stdio) as workbench:
        await stop_on_enter(workbench.call_tool(TOOL, CALL))


run(main)
