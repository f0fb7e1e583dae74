"""A minimal server on the Python SDK 1.x."""
from mcp.server.fastmcp import FastMCP
from tools import TOOLS

server = FastMCP("minimal", log_level="WARNING")
for tool in TOOLS:
    server.tool()(tool)
server.run()
