"""Python SDK 2.x: a server whose tool stops when its caller cancels, on both revisions.

    python server_2.py FOLDER    serves the folder's CSV files over HTTP, and prints its URL
"""

import asyncio
import csv
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("csv-files", log_level="WARNING")
calls = []


@server.tool()
async def process_large_file(filename: str, ctx: Context, processing_time: int = 10) -> str:
    lines = (Path(sys.argv[1]) / Path(filename).name).read_text().splitlines()[1:]
    rows, steps, fields, state = len(lines), processing_time, 0, "failed"
    call = dict(call=len(calls) + 1, request_id=ctx.request_context.request_id, tool="process_large_file", reason=None,
                state="running", steps_done=0, steps_total=steps, started_at=datetime.now(timezone.utc), ended_at=None)
    calls.append(call)
    try:
        await ctx.report_progress(0, rows, f"0 of {rows} rows")
        for step in range(steps):
            start, end = rows * step // steps, rows * (step + 1) // steps
            fields += sum(len(row) for row in csv.reader(lines[start:end]))
            await asyncio.sleep(0.1)
            call["steps_done"] += 1
            await ctx.report_progress(end, rows, f"{end} of {rows} rows")
        state = "finished"
        return f"Successfully processed {filename}: {fields} fields in {rows} rows"
    except asyncio.CancelledError:  # how a cancel arrives: out of any `await`
        state = "cancelled"
        raise
    finally:
        call |= {"state": state, "ended_at": datetime.now(timezone.utc)}


@server.tool()
def list_calls() -> dict[str, list]:
    return {"calls": calls}


async def keep_reason(ctx, call_next):  # only the notification says why; the tool is not told
    newest = {call["request_id"]: call for call in calls}
    if ctx.method == "notifications/cancelled" and (call := newest.get(ctx.params.get("requestId"))):
        call["reason"] = ctx.params.get("reason") if call["state"] in ("running", "cancelled") else None
    return await call_next(ctx)


server.middleware.append(keep_reason)
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning")).run(sockets=[listener])
