"""A minimal server on FastMCP 2.x and 4.x."""
from fastmcp import FastMCP
from tools import TOOLS

server = FastMCP("minimal")
for tool in TOOLS:
    server.tool(tool)
server.run(show_banner=False)
