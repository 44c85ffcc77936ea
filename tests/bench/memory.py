"""What orchestra keeps and repeats: checks with limits, of the transport that --transport names.

| check | what is asked | limits |
|---|---|---|
| growth | 100,000 different calls, 64 at a time | none sent twice, connections, memory that stays |
| gaps | the mock closes idle connections at random, the callers leave gaps | none sent twice, no errors |
| gil | 2,000 calls, then a thread holds the GIL for 200 ms | answers meanwhile; the engine never takes the GIL |
| rss | the cells A64 and A1000d50 | resident memory |
| start | fresh processes to their first answer | beside a bare asyncio.Protocol |
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from harness import CLIENT_CORE, HERE, Bench, say, spread, wait_until_quiet

MOST_GROWTH_MB = 2
MOST_CONNECTIONS = 1.03  # opened, to the most calls at a time
LEAST_ANSWERED_WHILE_HELD = 1000
MOST_RSS_MB = {"A64": 34, "A1000d50": 40}
MOST_START = 1.3  # times asyncio's


class Report:
    """Lines of a table: what was measured, and whether it is within its limit."""

    def __init__(self) -> None:
        self.good = True
        print("\n### memory: what is kept, what is sent twice, what waits for the GIL\n")
        print("| check | measured | limit | |\n|---|---|---|---|", flush=True)

    def line(self, check: str, measured: str, limit: str, good: bool | None) -> None:
        """None: there is no limit."""
        word = "" if good is None else "ok" if good else "**missed**"
        print(f"| {check} | {measured} | {limit} | {word} |", flush=True)
        if good is False:
            say(f"memory: {check}: {measured}, limit: {limit}")
            self.good = False

    def most(self, check: str, value: float, most: float, unit: str = "", digits: int = 0) -> None:
        self.line(check, f"{value:.{digits}f}{unit}", f"<= {most:g}{unit}", value <= most)

    def failed(self, check: str, seen: dict[str, Any]) -> bool:
        """True: the check came to no end."""
        if "mock" in seen:
            return False
        self.line(check, f"failed: {seen.get('why', '')[:150]}", "an end", False)
        return True

    def sent_once(self, check: str, seen: dict[str, Any]) -> None:
        mock = seen["mock"]
        self.most(f"{check}: errors", seen["errors"], 0)
        if seen["why"]:
            say(f"memory: {check}: first error: {seen['why']}")
        self.most(f"{check}: calls sent twice", mock["duplicates"], 0)
        asked = seen["asked"]
        self.line(f"{check}: different calls asked", str(mock["calls"]), f"= {asked}", mock["calls"] == asked)


class Memory:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.report = Report()

    def environment(self, concurrency: int) -> dict[str, str]:
        return {"CONC": str(concurrency), "ORCHESTRA_BENCH_TRANSPORT": self.bench.options.transport}

    def client(self, concurrency: int, mock: list[str], *arguments: str) -> dict[str, Any]:
        with self.bench.upstream("--record", *mock) as upstream:
            command = [self.bench.options.python, str(HERE / "memory_client.py"), *arguments]
            return self.bench.result(command, upstream.environment | self.environment(concurrency), seconds=300)

    def growth(self) -> None:
        seen = self.client(64, [], "growth")
        if self.report.failed("growth", seen):
            return
        wanted, said = self.bench.options.transport, seen["transport"]
        # None: attempts do not say.
        self.report.line("transport", str(said), wanted, None if said is None else said == wanted)
        self.report.sent_once("growth", seen)
        # Without the connection that asked for the figures.
        opened = (seen["mock"]["connections"] - 1) / 64
        self.report.most("growth: connections opened / most at a time", opened, MOST_CONNECTIONS, digits=3)
        grown = seen["after_100k_mb"] - seen["after_20k_mb"]
        self.report.line("growth: RSS after 20,000 calls", f"{seen['after_20k_mb']:.1f} MB", "-", None)
        self.report.most("growth: RSS after 100,000 - after 20,000", grown, MOST_GROWTH_MB, " MB", digits=2)

    def gaps(self) -> None:
        seen = self.client(64, ["--close-idle-ms", "20"], "gaps")
        if self.report.failed("gaps", seen):
            return
        self.report.sent_once("gaps", seen)
        closed = seen["mock"]["closed_idle"]
        self.report.line("gaps: idle connections closed by the mock", str(closed), ">= 500", closed >= 500)
        self.report.line("gaps: calls that needed a second attempt", str(seen["survived"]), "-", None)

    def gil(self) -> None:
        library = str(self.bench.options.build / "bench_gil_takes.so")
        # The delay is longer than the submission takes, so that no call is answered before the GIL is held.
        seen = self.client(2000, ["--delay-ms", "80"], "gil", library)
        if self.report.failed("gil", seen):
            return
        self.report.sent_once("gil", seen)
        answered, held = seen["answered_while_held"], seen["held_ms"]
        self.report.line("gil: held by another thread", f"{held:.0f} ms", ">= 200 ms", held >= 200)
        limit = f">= {LEAST_ANSWERED_WHILE_HELD}"
        self.report.line("gil: answered meanwhile", str(answered), limit, answered >= LEAST_ANSWERED_WHILE_HELD)
        self.report.line("gil: all replies delivered", f"{seen['delivered_after_ms']:.0f} ms later", "-", None)
        if seen["gil_takes_counted"]:
            self.report.most("gil: taken by threads of the core while held", seen["gil_takes_while_held"], 0)
            self.report.most("gil: taken by threads of the core for 2,000 calls", seen["gil_takes"], 0)
        else:
            self.report.line("gil: taken by threads of the core", "unknown: no call of it could be counted", "0", False)

    def rss(self) -> None:
        for cell, concurrency, mock in (("A64", 64, []), ("A1000d50", 1000, ["--delay-ms", "50"])):
            rows = []
            for _ in range(3):
                with self.bench.upstream(*mock) as upstream:
                    command = [self.bench.options.python, str(HERE / "drive.py"), str(HERE / "arms/a_orchestra.py")]
                    command += ["--seconds", str(self.bench.options.seconds)]
                    rows.append(self.bench.result(command, upstream.environment | self.environment(concurrency)))
            if any(row["errors"] for row in rows):
                why = next(row["why"] for row in rows if row["errors"])
                self.report.line(f"rss: {cell}", f"failed: {why[:150]}", "an end", False)
                continue
            median = statistics.median(row["rss_mb"] for row in rows)
            self.report.most(f"rss: {cell}, 3 processes", median, MOST_RSS_MB[cell], " MB", digits=1)

    def start(self, processes: int = 15) -> None:
        """Processes of both kinds in turn, pinned by inheritance: a function before exec would cost both the same."""
        arms = {"orchestra": "a_orchestra.py", "asyncio": "a_asyncio.py"}
        took: dict[str, list[float]] = {name: [] for name in arms}
        before = os.sched_getaffinity(0)
        with self.bench.upstream() as upstream:
            environment = upstream.environment | self.environment(1)
            wait_until_quiet()
            try:
                if len(before) > CLIENT_CORE:
                    os.sched_setaffinity(0, {CLIENT_CORE})
                for number in range(-1, processes):  # the first of each fills the file cache
                    for name, file in arms.items():
                        command = [self.bench.options.python, str(HERE / "first_answer.py"), str(HERE / "arms" / file)]
                        started = time.perf_counter()
                        done = self.bench.client(command, environment, pinned=False)
                        milliseconds = (time.perf_counter() - started) * 1000
                        if done.returncode:
                            why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
                            self.report.line(f"start: {name}", f"failed: {why[:150]}", "an answer", False)
                            return
                        if number >= 0:
                            took[name].append(milliseconds)
            finally:
                os.sched_setaffinity(0, before)
        for name in arms:
            self.report.line(f"start: {name}, {processes} processes", f"{spread(took[name])} ms", "-", None)
        ratios = [ours / theirs for ours, theirs in zip(took["orchestra"], took["asyncio"], strict=True)]
        median = statistics.median(ratios)
        self.report.line("start: orchestra to asyncio", spread(ratios), f"<= {MOST_START}", median <= MOST_START)


def bench_memory(bench: Bench) -> bool:
    """True: within all limits."""
    memory = Memory(bench)
    checks = {"growth": memory.growth, "gaps": memory.gaps, "gil": memory.gil, "rss": memory.rss, "start": memory.start}
    wanted = bench.options.checks.split(",") if bench.options.checks else list(checks)
    if unknown := [name for name in wanted if name not in checks]:
        raise SystemExit(f"bench: no check {unknown[0]}: there are {', '.join(checks)}")
    for name in wanted:
        wait_until_quiet()
        checks[name]()
    return memory.report.good
