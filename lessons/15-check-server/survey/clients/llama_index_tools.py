"""LlamaIndex, whose client cannot be closed"""
from enter import CALL, SECONDS, SERVER, TOOL, run, stop_on_enter
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec


async def main():
    client = BasicMCPClient(SERVER, timeout=int(SECONDS))  # a URL or a command
    tools = await McpToolSpec(client, allowed_tools=[TOOL]).to_tool_list_async()
    await stop_on_enter(tools[0].acall(**CALL))


run(main)
