"""The probe over HTTP, with progress and a stamp: FastMCP."""
import asyncio
import socket
import time
from importlib.metadata import version

import uvicorn
from fastmcp import Context, FastMCP

server = FastMCP("bench")
runs: dict[str, dict] = {}


@server.tool
async def cancel_probe(id: str, ctx: Context, steps: int = 200, step_ms: int = 50, ask: bool = False) -> dict:
    if ask:
        return runs.get(id, {})
    run = runs[id] = {"running": True, "ticks": 0, "cancelled": False, "stopped_at": None}
    try:
        await ctx.report_progress(0, steps)
        for _ in range(steps):
            await asyncio.sleep(step_ms / 1000)
            run["ticks"] += 1
    except asyncio.CancelledError:
        run["cancelled"] = True
        raise
    finally:
        run |= {"running": False, "stopped_at": time.time()}
    return run


listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", version("fastmcp"), flush=True)
uvicorn.Server(uvicorn.Config(server.http_app(), log_level="critical")).run(sockets=[listener])
