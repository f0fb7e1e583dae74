"""The probe for the Python SDK 1.x. Paste what stands between the lines into your server."""
from mcp.server.fastmcp import FastMCP

server = FastMCP("probe", log_level="WARNING")

# ---- probe
import asyncio

runs: dict[str, dict] = {}


@server.tool()
async def cancel_probe(id: str, steps: int = 200, step_ms: int = 50, ask: bool = False) -> dict:
    if ask:
        return runs.get(id, {})
    run = runs[id] = {"running": True, "ticks": 0, "cancelled": False, "reason": None}
    try:
        for _ in range(steps):
            await asyncio.sleep(step_ms / 1000)
            run["ticks"] += 1
    except asyncio.CancelledError:
        run["cancelled"] = True
        raise
    finally:
        run["running"] = False
    return run
# ---- end

server.run()
