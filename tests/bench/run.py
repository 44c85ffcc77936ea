"""The benchmarks: `calls`, `stream` and `import`; without a name all of them. README.md says how they measure and why.

usage: ./dev bench [calls | stream | import] [--rounds N] [--cells A1,A64] [--arms orchestra,openai] [--python PATH] ...

Prints Markdown tables on stdout and what is going on on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MOCK_CORE, CLIENT_CORE = 0, 1
UNIT = "curl_poll"
EVENTS = 200


class Cell(NamedTuple):
    bench: str
    concurrency: int
    mock: tuple[str, ...] = ()
    meaning: str = ""


CELLS = {
    "A1": Cell("calls", 1, (), "one call at a time"),
    "A64": Cell("calls", 64, (), "64 calls at a time"),
    "A1000": Cell("calls", 1000, (), "1000 calls at a time"),
    "A1000d50": Cell("calls", 1000, ("--delay-ms", "50"), "1000 calls at a time, each answered after 50 ms"),
    "C16": Cell("stream", 16, (), f"16 streams at a time, {EVENTS} events each, in one burst"),
    "C16w": Cell("stream", 16, ("--events-per-write", "1"), f"16 streams at a time, {EVENTS} events each, one a write"),
}

# Arms that are packages, and how to get them. `./dev bench` installs none of them.
PINNED = {
    "aiohttp": "aiohttp==3.14.5",
    "httpx": "httpx==0.28.1",
    "litellm": "litellm==1.110.2",
    "openai": "openai==3.57.0",
    "pycurl": "pycurl==7.49.0",
    "uvloop": "uvloop==0.23.0",
}
ARMS = "orchestra orchestra_objects orchestra_map asyncio asyncio+uvloop pycurl aiohttp httpx openai litellm".split()
ONLY_CALLS = {"orchestra_map"}

# What `import orchestra` must not load: each costs more than the whole package may.
HEAVY = (
    "asyncio ssl sqlite3 multiprocessing unittest numpy pandas pyarrow pydantic matplotlib tqdm IPython requests httpx"
).split()
MOST_IMPORT_MILLISECONDS = 50


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Bench:
    """What the options of one run have in common."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.mock = options.build / "bench_mock"
        self.curl_poll = options.build / "bench_curl_poll"
        self.environment = os.environ | {"PYTHONPATH": str(options.package)}
        self.rows: list[dict[str, Any]] = []

    # ---- arms

    def file_of(self, arm: str) -> Path:
        name = f"a_{arm.partition('+')[0]}.py"
        folders = [HERE / "arms", *([self.options.arms_folder] if self.options.arms_folder else [])]
        for folder in folders:
            if (folder / name).exists():
                return Path(folder / name)
        raise SystemExit(f"bench: no arm {arm}: looked for {name} in {', '.join(map(str, folders))}")

    def choose_arms(self) -> list[str]:
        """The arms whose packages are there; a line about each of the others."""
        if self.options.arms:
            wanted = [arm for arm in self.options.arms.split(",") if arm != UNIT]
        else:
            wanted = list(ARMS)
            if self.options.arms_folder:
                known = {self.file_of(arm).name for arm in ARMS}
                wanted += [p.stem[2:] for p in sorted(self.options.arms_folder.glob("a_*.py")) if p.name not in known]
        missing = set()
        for package in PINNED:
            look = f"import importlib.util, sys; sys.exit(not importlib.util.find_spec({package!r}))"
            if subprocess.run([self.options.python, "-c", look], env=self.environment).returncode:
                missing.add(package)
        chosen = []
        for arm in wanted:
            lacks = [part for part in arm.split("+") if part in missing]
            if lacks:
                say(f"{arm} is left out: no package {lacks[0]}")
            else:
                chosen.append(arm)
        if missing:
            say("the other clients: pip install " + " ".join(PINNED[name] for name in sorted(missing)))
            say("into an environment of their own, and --python PATH/bin/python")
        return [UNIT, *chosen]

    # ---- one measurement

    @contextlib.contextmanager
    def upstream(self, cell: Cell) -> Iterator[int]:
        """A fresh mock on its core; yields its port."""
        command = [str(self.mock), "--until-stdin-ends", "--events", str(EVENTS), *cell.mock]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: pin(MOCK_CORE)
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def client(self, command: list[str], more: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """One process on the core of the clients, to its end."""
        return subprocess.run(
            command,
            env=self.environment | (more or {}),
            capture_output=True,
            text=True,
            timeout=90,
            preexec_fn=lambda: pin(CLIENT_CORE),
        )

    def measure(self, arm: str, cell: Cell, extra: tuple[str, ...] = ()) -> dict[str, Any]:
        with self.upstream(cell) as port:
            stream = cell.bench == "stream"
            if arm == UNIT:
                command = [str(self.curl_poll), "--port", str(port), "--concurrency", str(cell.concurrency)]
                command += ["--seconds", str(self.options.seconds)] + (["--stream", str(EVENTS)] if stream else [])
            else:
                command = [self.options.python, str(HERE / "drive.py"), str(self.file_of(arm))]
                command += ["--seconds", str(self.options.seconds), *extra]
                command += ["--stream"] * stream + ["--uvloop"] * arm.endswith("+uvloop")
            try:
                done = self.client(command, {"MOCK_PORT": str(port), "CONC": str(cell.concurrency)})
            except subprocess.TimeoutExpired:
                return {"errors": 1, "why": "no result within 90 s"}
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            return {"errors": 1, "why": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}
        row: dict[str, Any] = json.loads(lines[-1])
        return row

    # ---- all of them

    def right_answers(self, arms: list[str], bench: str) -> list[str]:
        """The arms that give the mock's exact text; nothing else is worth timing."""
        cell = Cell(bench, 2)
        good = [UNIT]
        for arm in arms[1:]:
            if bench == "stream" and arm in ONLY_CALLS:
                continue
            row = self.measure(arm, cell, ("--check",))
            if row["errors"]:
                say(f"{arm} is left out: {row['why']}")
            else:
                good.append(arm)
        return good

    def run(self, bench: str, arms: list[str], cells: list[str]) -> None:
        arms = self.right_answers(arms, bench)
        rows: list[dict[str, Any]] = []
        for number in range(self.options.rounds):
            for name in cells:
                for arm in random.sample(arms, len(arms)):
                    busy = wait_until_quiet()
                    row = self.measure(arm, CELLS[name])
                    row |= {"arm": arm, "cell": name, "round": number, "busy_before": round(busy, 2)}
                    rows.append(row)
                    if self.options.out:
                        with open(self.options.out, "a") as file:
                            file.write(json.dumps(row) + "\n")
            say(f"{bench}: round {number + 1} of {self.options.rounds} is done")
        for name in cells:
            print_table(name, [row for row in rows if row["cell"] == name])


def pin(core: int) -> None:
    """In a child, before it runs: only on this core, where there are enough."""
    if len(os.sched_getaffinity(0)) > max(MOCK_CORE, CLIENT_CORE):
        os.sched_setaffinity(0, {core})


def busy_share(seconds: float = 0.2) -> float:
    """The share of all cores in use now; the load average would count the cell before."""

    def read() -> tuple[int, int]:
        ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]

    all_before, idle_before = read()
    time.sleep(seconds)
    all_after, idle_after = read()
    return 1 - (idle_after - idle_before) / max(1, all_after - all_before)


def wait_until_quiet(most_seconds: float = 5, most_busy: float = 0.1) -> float:
    until = time.monotonic() + most_seconds
    while (busy := busy_share()) > most_busy and time.monotonic() < until:
        pass
    return busy


def spread(values: list[float]) -> str:
    digits = 2 if statistics.median(values) < 10 else 1 if statistics.median(values) < 100 else 0
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def print_table(name: str, rows: list[dict[str, Any]]) -> None:
    """Ratios to the unit of the same round: median [min-max]. A row with an error is void and is only counted."""
    cell = CELLS[name]
    unit = {row["round"]: row["cpu_us"] for row in rows if row["arm"] == UNIT and not row["errors"]}
    per = "stream" if cell.bench == "stream" else "call"
    lines = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        good = [row for row in own if not row["errors"] and row["round"] in unit]
        void = len(own) - len(good)
        if not good:
            why = next((row["why"] for row in own if row.get("why")), "the unit has no figure")
            lines.append((float("inf"), f"| {arm} | void: {why[:100]} | | | | | | |"))
            continue

        def middle(key: str, good: list[dict[str, Any]] = good) -> float:
            return statistics.median(row.get(key) or 0 for row in good)

        ratios = [row["cpu_us"] / unit[row["round"]] for row in good]
        bound = " (the mock's)" if middle("mock_share") > 0.5 else ""
        latency = f"{middle('p50_ms'):.2f} / {middle('p99_ms'):.2f}" if middle("p50_ms") else "-"
        connections = f"{middle('connections'):.0f}" if middle("connections") else "-"
        rounds = f"{len(good)}" + (f" + {void} void" if void else "")
        figures = [spread(ratios), f"{middle('cpu_us'):.1f}", f"{middle('calls_per_second'):.0f}{bound}", latency]
        figures += [f"{middle('rss_mb'):.0f}", connections, rounds]
        lines.append((statistics.median(ratios), f"| {arm} | {' | '.join(figures)} |"))
    print(f"\n### {name}: {cell.meaning}\n")
    print(f"| arm | CPU, {UNIT} = 1 | CPU us/{per} | {per}s/s | p50 / p99 ms | RSS MB | connections | rounds |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(line for _, line in sorted(lines)), flush=True)


_IMPORT = """
import sys, time
before = set(sys.modules)
started = time.perf_counter()
{statement}
took = time.perf_counter() - started
import json, os
pages = int(open("/proc/self/statm").read().split()[1])
print(json.dumps([took * 1000, pages * os.sysconf("SC_PAGE_SIZE") / 2**20, sorted(set(sys.modules) - before)]))
"""


def bench_import(bench: Bench, processes: int) -> bool:
    """What `import orchestra` takes, beside processes that import nothing; True: within its limits."""

    def run(statement: str) -> tuple[float, float, list[str]]:
        done = bench.client([bench.options.python, "-c", _IMPORT.format(statement=statement)])
        if done.returncode:
            raise SystemExit(f"bench: {statement} failed: {done.stderr.strip()[-300:]}")
        took, memory, modules = json.loads(done.stdout)
        return took, memory, modules

    run("import orchestra")  # the first one writes bytecode and fills the file cache
    wait_until_quiet()
    ours, nothing = [], []
    for _ in range(processes):
        ours.append(run("import orchestra"))
        nothing.append(run("pass"))
    print(f"\n### import: {processes} fresh processes each\n")
    print("| | ms | RSS MB | modules |\n|---|---|---|---|")
    for name, rows in (("import orchestra", ours), ("nothing", nothing)):
        took, memory, modules = zip(*rows, strict=True)
        print(f"| {name} | {spread(list(took))} | {statistics.median(memory):.1f} | {len(modules[0])} |")
    loaded = [name for name in HEAVY if name in ours[0][2]]
    print(f"\nHeavy modules that must not be loaded ({', '.join(HEAVY)}): {', '.join(loaded) or 'none is'}.")
    median = statistics.median(took for took, _, _ in ours)
    if loaded:
        say(f"import orchestra loads {', '.join(loaded)}")
    if median > MOST_IMPORT_MILLISECONDS:
        say(f"import orchestra takes {median:.0f} ms, more than {MOST_IMPORT_MILLISECONDS}")
    return not loaded and median <= MOST_IMPORT_MILLISECONDS


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=["calls", "stream", "import"], help="without it: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.2, help="of one measurement")
    parser.add_argument("--cells", help=f"separated by commas; of {', '.join(CELLS)}")
    parser.add_argument("--arms", help=f"separated by commas; of {', '.join(ARMS)}; +uvloop behind one sets its loop")
    parser.add_argument(
        "--arms-folder", type=Path, default=os.environ.get("ORCHESTRA_BENCH_ARMS") or None,
        help="more arms: files a_NAME.py; also from ORCHESTRA_BENCH_ARMS",
    )  # fmt: skip
    parser.add_argument(
        "--python", default=os.environ.get("ORCHESTRA_BENCH_PYTHON") or sys.executable,
        help="the interpreter whose packages are measured; also from ORCHESTRA_BENCH_PYTHON",
    )  # fmt: skip
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="where bench_mock is")
    parser.add_argument("--package", type=Path, default=ROOT / "python", help="the folder that holds orchestra")
    parser.add_argument("--out", help="a file that gets each measurement as a line of JSON")
    options = parser.parse_args()
    if options.arms_folder is not None:
        options.arms_folder = Path(options.arms_folder).resolve()
    bench = Bench(options)
    python = subprocess.run([options.python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Linux {platform.release()}, {python}")
    good = True
    if options.name in (None, "calls", "stream"):
        arms = bench.choose_arms()
        for name in ("calls", "stream"):
            wanted = options.cells.split(",") if options.cells else list(CELLS)
            if unknown := [cell for cell in wanted if cell not in CELLS]:
                parser.error(f"no cell {unknown[0]}: there are {', '.join(CELLS)}")
            cells = [cell for cell in wanted if CELLS[cell].bench == name]
            if cells and options.name in (None, name):
                bench.run(name, arms, cells)
    if options.name in (None, "import"):
        good = bench_import(bench, processes=20)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
