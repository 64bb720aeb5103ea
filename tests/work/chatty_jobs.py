"""Threads of a module and of resources that speak all the time, and jobs beside them."""

import asyncio
import gc
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace.jobs import JobContext, job, resource

PAUSE = 0.0005


def chatter(word: str) -> None:
    """Speak for as long as the process lives, in every way there is in Python."""
    while True:
        print(word, flush=True)
        sys.stderr.write(f"{word}\n")
        sys.stdout.buffer.write(f"{word}\n".encode())
        time.sleep(PAUSE)


threading.Thread(target=chatter, args=("module",), name="of-a-module", daemon=True).start()


@resource
def radio() -> str:
    """Something with a thread that speaks."""
    threading.Thread(target=chatter, args=("resource",), name="of-a-resource", daemon=True).start()
    return "on"


@resource(threads=True)
def hands() -> ThreadPoolExecutor:
    """Threads that work for jobs."""
    return ThreadPoolExecutor(1)


@resource
def loop() -> asyncio.AbstractEventLoop:
    """An event loop in a thread of its own."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, daemon=True).start()
    return made


async def say(word: str) -> None:
    """Say a word in a coroutine."""
    await asyncio.sleep(0)
    print(word)


@job("beside")
def beside(ctx: JobContext) -> None:
    """Speak slowly, with a radio on."""
    print("radio is", ctx.resources.radio)  # made while its first words fall
    for _ in range(5):
        sys.stdout.write("half ")
        time.sleep(PAUSE * 4)
        print("whole")


@job("by-hands")
def by_hands(ctx: JobContext) -> None:
    """Have threads say something: its own, of an executor that is kept, of a loop that is kept."""
    thread = threading.Thread(target=print, args=("own thread",))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as own:
        own.submit(print, "own executor").result()
    ctx.resources.hands.submit(print, "kept executor").result()
    asyncio.run_coroutine_threadsafe(say("kept loop"), ctx.resources.loop).result()


class Node:
    """Something that speaks at its end, and keeps itself alive."""

    def __init__(self, word: str) -> None:
        self.me = self
        self._word = word

    def __del__(self) -> None:
        print(self._word)


@job("leave-garbage")
def leave_garbage(ctx: JobContext, word: str, long: bool = False) -> None:
    """Leave things that speak when they are collected."""
    node: Any = Node(f"{word} deleted")
    weakref.finalize(node, print, f"{word} finalized")
    if long:
        gc.collect()  # which makes it old
        time.sleep(0.03)
    del ctx


@job("collect")
def collect(ctx: JobContext) -> None:
    """Collect what is there."""
    del ctx
    gc.collect()
