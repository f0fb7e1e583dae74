"""What the Python clients of the survey share: a user who presses Enter."""
import asyncio
import sys

TOOL = "process_large_file"
CALL = {"filename": "large_dataset.csv", "processing_time": 24}


async def stop_on_enter(call):
    """Waits for the call. If Enter is pressed first, cancels it. Prints what the caller is told."""
    call = asyncio.ensure_future(call)
    enter = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait([call, enter], return_when=asyncio.FIRST_COMPLETED)
    if enter.done():
        call.cancel()
        enter = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait([call])
    try:
        print("told:", call.result(), flush=True)
    except BaseException as error:
        print("told:", repr(error), flush=True)
    await enter  # the program stays open, as a chat does
