"""One arm in one cell, in a process of its own: prints one JSON line with what a call cost.

usage: drive.py ARM.py [--stream] [--uvloop] [--check] [--seconds S] [--calls N] [--warm-up N]
       (environment: MOCK_PORT, CONC, and over TLS MOCK_CA)

Every answer is compared with the text that the mock sends; one that is wrong counts as an error. An arm is a file with
`async one() -> str` and `async stream() -> str`, or `many(count) -> Iterable[str]`, and perhaps `async close()` and
`async transport() -> str | None`, which says after the measurement what its calls went through.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import os
import resource
import sys
import time
from array import array
from pathlib import Path
from types import ModuleType
from typing import Any

from ask import ask

PLAIN_TEXT = "An orchestra tunes before it plays.\n" * 13
EVENTS = 200
STREAM_TEXT = "".join(f" piece{number:03d}" for number in range(EVENTS))

PORT, CONCURRENCY = int(os.environ["MOCK_PORT"]), int(os.environ["CONC"])


def cpu_seconds() -> float:
    """User and system time of all threads of this process, those of native code too."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mock_statistics() -> dict[str, Any]:
    return ask(PORT, "/stats", os.environ.get("MOCK_CA", ""))


class Run:
    """Answers so far: how long each took, and what was wrong."""

    def __init__(self, arm: ModuleType, stream: bool) -> None:
        self.arm = arm
        self.call = None if hasattr(arm, "many") else arm.stream if stream else arm.one
        self.expected = STREAM_TEXT if stream else PLAIN_TEXT
        self.latencies = array("q")  # nanoseconds; a list would be most of the memory of a fast arm
        self.wrong: list[str] = []
        self.calls = 0

    def check(self, text: Any) -> None:
        self.calls += 1
        if text != self.expected:
            self.wrong.append(f"wrong text: {text!r:.200}")

    async def worker(self, least: int, until: float) -> None:
        """One caller: asks again and again, at least so often and until then."""
        assert self.call is not None
        while least > 0 or time.perf_counter() < until:
            least -= 1
            started = time.perf_counter_ns()
            try:
                self.check(await self.call())
            except Exception as error:  # whatever a client raises, it is one error
                self.calls += 1
                self.wrong.append(repr(error)[:200])
            self.latencies.append(time.perf_counter_ns() - started)

    async def workers(self, least: int, until: float) -> None:
        await asyncio.gather(*[self.worker(least, until) for _ in range(CONCURRENCY)])

    def many(self, count: int) -> None:
        for text in self.arm.many(count):
            self.check(text)

    def forget(self) -> None:
        self.latencies = array("q")
        self.wrong.clear()
        self.calls = 0


async def measure(arm: ModuleType, options: argparse.Namespace) -> dict[str, Any]:
    run = Run(arm, options.stream)
    rows = options.calls
    if run.call is None:
        started = time.perf_counter()
        run.many(20 + 2 * CONCURRENCY)
        run.many(max(20 + 2 * CONCURRENCY, 500))
        rows = rows or max(CONCURRENCY, int(run.calls / (time.perf_counter() - started) * options.seconds))
    elif options.warm_up:
        await run.workers(-(-options.warm_up // CONCURRENCY), 0)
    else:
        await run.worker(20, 0)
        await run.workers(2, 0)
    if run.wrong:
        return {"errors": len(run.wrong), "why": run.wrong[0]}
    run.forget()
    gc.collect()
    memory, mock, cpu, started = resident_megabytes(), mock_statistics(), cpu_seconds(), time.perf_counter()
    if run.call is None:
        run.many(rows)
    elif options.calls:
        await run.workers(options.calls // CONCURRENCY, 0)
    else:
        await run.workers(1, started + options.seconds)
    wall, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    memory_after, peak = resident_megabytes(), peak_megabytes()
    mock_after = mock_statistics()
    latencies = sorted(run.latencies) or [0]
    asked = int(mock_after["requests"] - mock["requests"])
    if asked != run.calls:
        run.wrong.append(f"{run.calls} calls made {asked} requests")
    transport = await arm.transport() if hasattr(arm, "transport") else None
    return {
        "calls": run.calls,
        "cpu_us": round(cpu / run.calls * 1e6, 3),
        "calls_per_second": round(run.calls / wall),
        "p50_ms": round(latencies[len(latencies) // 2] / 1e6, 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] / 1e6, 3),
        "errors": len(run.wrong),
        "why": run.wrong[0] if run.wrong else "",
        "rss_mb": round(memory_after, 1),
        "rss_before_mb": round(memory, 1),
        "rss_peak_mb": round(peak, 1),
        "transport": transport,
        "connections": int(mock_after["connections"]) - 2,  # without the two that asked for statistics
        "mock_share": round((mock_after["cpu_seconds"] - mock["cpu_seconds"]) / wall, 3),
    }


async def check(arm: ModuleType, stream: bool) -> dict[str, Any]:
    run = Run(arm, stream)
    if run.call is None:
        run.many(3)
    else:
        await run.worker(3, 0)
    return {"errors": len(run.wrong), "why": run.wrong[0] if run.wrong else ""}


async def main(arm: ModuleType, options: argparse.Namespace) -> None:
    print(json.dumps(await (check(arm, options.stream) if options.check else measure(arm, options))))
    if hasattr(arm, "close"):
        await arm.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("arm", type=Path)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seconds", type=float, default=1.2)
    parser.add_argument("--calls", type=int, default=0, help="so many calls instead of so many seconds")
    parser.add_argument("--warm-up", type=int, default=0, help="calls before; 0: 20 and two a caller")
    arguments = parser.parse_args()
    if arguments.uvloop:
        import uvloop

        uvloop.install()
    sys.path[0] = str(arguments.arm.resolve().parent)
    asyncio.run(main(importlib.import_module(arguments.arm.stem), arguments))
    sys.stdout.flush()
    os._exit(0)  # some native runtimes abort when the interpreter ends
