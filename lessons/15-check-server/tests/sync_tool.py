"""What an author gets by default in Python: a tool that computes, in a function that is not async."""
import time

try:
    from mcp.server.fastmcp import FastMCP as Server  # SDK 1.x
except ImportError:
    from mcp.server.mcpserver import MCPServer as Server  # SDK 2.x

server = Server("sync", log_level="CRITICAL")


@server.tool()
def slow_sum(seconds: float) -> int:
    end, total = time.time() + seconds, 0
    while time.time() < end:
        total += sum(range(1000))
    return total


server.run()
