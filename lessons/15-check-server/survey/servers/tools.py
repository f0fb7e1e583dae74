"""The tools of the minimal Python servers: as one writes them, and mended by a few lines."""
import asyncio
import os
import signal
import threading
import time

CHILD = 'for i in $(seq 80); do echo step >> "$STEPS"; sleep 0.25; done'


def step():
    with open(os.environ["STEPS"], "a") as file:
        file.write("step\n")


async def awaits() -> str:
    for _ in range(80):
        step()
        await asyncio.sleep(0.25)
    return "done"


def blocks() -> str:
    for _ in range(80):
        step()
        time.sleep(0.25)
    return "done"


async def child() -> str:
    process = await asyncio.create_subprocess_shell(CHILD)
    await process.wait()
    return "done"


async def blocks_mended() -> str:
    stop = threading.Event()

    def work():
        for _ in range(80):
            if stop.is_set():
                return
            step()
            time.sleep(0.25)

    try:
        await asyncio.to_thread(work)
    finally:
        stop.set()
    return "done"


async def child_mended() -> str:
    process = await asyncio.create_subprocess_shell(CHILD, start_new_session=True)
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    return "done"


TOOLS = [awaits, blocks, child, blocks_mended, child_mended]
