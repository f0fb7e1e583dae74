"""LlamaIndex: python llama_index_tools.py URL [SECONDS]"""
import asyncio
import sys

from enter import CALL, TOOL, stop_on_enter
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec


async def main(url, seconds=60):
    client = BasicMCPClient(url, timeout=int(seconds))
    tools = await McpToolSpec(client, allowed_tools=[TOOL]).to_tool_list_async()
    await stop_on_enter(tools[0].acall(**CALL))


asyncio.run(main(*sys.argv[1:]))
