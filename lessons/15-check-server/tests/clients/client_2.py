"""Python SDK 2.x, judged by `mcp-cancel-check client`: python client_2.py URL REVISION"""
import asyncio
import sys

from mcp import Client


async def main(url: str, revision: str) -> None:
    mode = "legacy" if revision == "2025-11-25" else revision
    async with Client(url, mode=mode) as client:
        await client.call_tool("answer", {})
        for tool in ["cancel_me", "answer_late"]:
            running = asyncio.Event()

            async def on_progress(progress, total, message):
                running.set()

            call = asyncio.create_task(client.call_tool(tool, {}, progress_callback=on_progress))
            await running.wait()
            call.cancel()
            await asyncio.wait([call])
        async def heard(progress, total, message):
            pass

        for tool in ["time_out", "keep_alive", "never_end"]:
            try:
                await client.call_tool(tool, {}, read_timeout_seconds=1, progress_callback=heard)
            except Exception:
                pass
        await client.call_tool("report", {})


asyncio.run(main(*sys.argv[1:]))
