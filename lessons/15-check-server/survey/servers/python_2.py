"""A minimal server on the Python SDK 2.x."""
from mcp.server.mcpserver import MCPServer
from tools import TOOLS

server = MCPServer("minimal", log_level="WARNING")
for tool in TOOLS:
    server.tool()(tool)
server.run()
