"""The clients of the checks in memory.py: one in a process of its own, which prints what it saw as a line of JSON.

usage: memory_client.py growth | gaps | gil [gil_takes.so]
       (environment: MOCK_PORT, CONC, ORCHESTRA_BENCH_TRANSPORT; the mock runs with --record)

Each call has a number of its own in its text, by which the mock tells a call that was sent twice.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import itertools
import json
import os
import random
import sys
import threading
import time
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "arms"))

from a_orchestra import NAME, OPTIONS, engine, transport  # noqa: E402
from ask import ask  # noqa: E402
from drive import PLAIN_TEXT, resident_megabytes  # noqa: E402
from settings import CONCURRENCY, MESSAGES, PORT  # noqa: E402

_numbers = itertools.count(1)
_wrong: list[str] = []
_survived = 0  # calls with more than one attempt


async def call() -> None:
    global _survived
    question = MESSAGES[1] | {"content": f"call-id:{next(_numbers)} {MESSAGES[1]['content']}"}
    try:
        reply = await engine.achat([MESSAGES[0], question], model=NAME, **OPTIONS)
        if reply.text != PLAIN_TEXT:
            _wrong.append(f"wrong text: {reply.text!r:.200}")
        _survived += len(reply.attempts) > 1
    except Exception as error:  # whatever is raised, it is one error
        _wrong.append(repr(error)[:200])


async def calls(count: int, longest_gap: float = 0) -> None:
    """So many, each of the callers at most once at a time, with a random gap after each."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await call()
            if longest_gap:
                await asyncio.sleep(random.uniform(0, longest_gap))

    await asyncio.gather(*[caller() for _ in range(CONCURRENCY)])


async def growth() -> dict[str, Any]:
    """Resident memory after 20,000 and after 100,000 calls."""
    at = {}
    for more, whole in ((20_000, 20_000), (80_000, 100_000)):
        await calls(more)
        gc.collect()
        at[whole] = resident_megabytes()
    return {"after_20k_mb": at[20_000], "after_100k_mb": at[100_000], "asked": 100_000}


async def gaps() -> dict[str, Any]:
    """Callers that leave gaps of up to three times the longest after which the mock closes."""
    await calls(CONCURRENCY * 100, longest_gap=0.06)
    return {"asked": CONCURRENCY * 100}


async def gil(library: str) -> dict[str, Any]:
    """2,000 calls are submitted, then another thread holds the GIL for 200 ms."""
    counts = 2000
    await asyncio.gather(*[call() for _ in range(counts)])  # the connections
    counter = ctypes.CDLL(library)
    counter.gil_takes_of_others.restype = counter.gil_takes_of_main.restype = ctypes.c_uint64
    counted = counter.gil_takes_begin(b"_core.")
    go = threading.Lock()
    go.acquire()
    held: list[int] = []

    def hold() -> None:
        go.acquire()
        held.append(time.monotonic_ns())
        ctypes.PyDLL(None).usleep(200_000)  # PyDLL keeps the GIL
        held.append(time.monotonic_ns())

    holder = threading.Thread(target=hold)
    holder.start()
    takes_before = counter.gil_takes_of_others()
    tasks = [asyncio.ensure_future(call()) for _ in range(counts)]
    await asyncio.sleep(0)  # each task runs to its first wait: the call is submitted
    submitted = time.monotonic_ns()
    go.release()
    holder.join()
    takes_while_held = counter.gil_takes_of_others() - takes_before
    await asyncio.gather(*tasks)
    delivered = time.monotonic_ns()
    takes = counter.gil_takes_of_others() - takes_before
    if counter.gil_takes_of_main() == 0:  # waiting for a reply takes it: if that was not seen, nothing is
        reply = await asyncio.to_thread(engine.chat, MESSAGES, model=NAME, **OPTIONS)
        counted = counted if reply and counter.gil_takes_of_others() > takes_before + takes else 0
    return {
        "asked": 2 * counts,
        "held_ms": (held[1] - held[0]) / 1e6,
        "held_after_submission_ms": (held[0] - submitted) / 1e6,
        "answered_while_held": ask(PORT, f"/answered/{held[0]}/{held[1]}")["answered"],
        "delivered_after_ms": (delivered - held[1]) / 1e6,
        "gil_takes_counted": counted > 0,
        "gil_takes_while_held": takes_while_held,
        "gil_takes": takes,
    }


CHECKS = {"growth": growth, "gaps": gaps, "gil": gil}


async def main(name: str, arguments: list[str]) -> None:
    seen = await CHECKS[name](*arguments)
    mock = ask(PORT, "/stats")
    seen |= {"errors": len(_wrong), "why": _wrong[0] if _wrong else "", "survived": _survived, "mock": mock}
    print(json.dumps(seen | {"transport": await transport()}))
    await engine.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
    sys.stdout.flush()
    os._exit(0)
