"""What the Python clients of the survey share: PROGRAM SERVER [stop|close|wait [SECONDS]]

SERVER is a URL, or a program that speaks on stdio. When Enter is pressed, the call is cancelled (stop),
or the client is closed (close). `wait` waits for the call, its timeout, or Ctrl-C."""
import asyncio
import sys

TOOL = "process_large_file"
CALL = {"filename": "large_dataset.csv", "processing_time": 24}
SERVER = sys.argv[1]
WAY = sys.argv[2] if len(sys.argv) > 2 else "stop"
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 60
HTTP = SERVER.startswith("http")


def enter():
    return asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))


def tell(told):
    print("told:", told, flush=True)


async def stop_on_enter(call):
    """Waits for the call, or leaves it in its way. Says what the caller is told."""
    if WAY != "wait":
        call, pressed = asyncio.ensure_future(call), enter()
        await asyncio.wait([call, pressed], return_when=asyncio.FIRST_COMPLETED)
        if WAY == "close":
            return  # the client is closed now, and the call still runs
        call.cancel()
        await asyncio.wait([call])
    try:
        tell(await call)
    except (Exception, asyncio.CancelledError) as error:
        if asyncio.current_task().cancelling():
            raise  # Ctrl-C
        tell(repr(error))
    await enter()  # the program stays open, as a chat does


def run(main):
    async def program():
        await main()
        if WAY == "close":
            tell("the client is closed")
            await enter()

    asyncio.run(program())
