"""The benchmarks: `calls`, `stream`, `map`, `memory`, `convert` and `import`; without a name all of them.

README.md says how they measure and why.

usage: ./dev bench [NAME] [--rounds N] [--cells A1,A64] [--arms orchestra,openai] [--python PATH] ...

Prints Markdown tables on stdout and what is going on on stderr. Exits with 1 when memory or import passes a limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from convert import bench_convert
from harness import HERE, ROOT, Bench, say, spread, wait_until_quiet
from import_time import bench_import
from memory import bench_memory

UNIT = "curl_poll"
EVENTS = 200


class Cell(NamedTuple):
    bench: str
    concurrency: int
    mock: tuple[str, ...] = ()
    meaning: str = ""
    tls: bool = False
    calls: int = 0  # 0: as many as there is time for
    warm_up: int = 0  # calls; 0: 20 and two a caller
    always: bool = True  # False: only when --cells names it


PACED = ("--events-per-write", "1", "--gap-us", "5000")
CELLS = {
    "A1": Cell("calls", 1, (), "one call at a time"),
    "A64": Cell("calls", 64, (), "64 calls at a time"),
    "A1000": Cell("calls", 1000, (), "1000 calls at a time"),
    "A1000d50": Cell("calls", 1000, ("--delay-ms", "50"), "1000 calls at a time, each answered after 50 ms"),
    "A1tls": Cell("calls", 1, (), "one call at a time, TLS 1.3", tls=True),
    "A64tls": Cell("calls", 64, (), "64 calls at a time, TLS 1.3", tls=True),
    "A1000d50tls": Cell("calls", 1000, ("--delay-ms", "50"), "A1000d50 over TLS 1.3", tls=True, always=False),
    "C16": Cell("stream", 16, (), f"16 streams at a time, {EVENTS} events each, in one burst"),
    "C16w": Cell("stream", 16, ("--events-per-write", "1"), f"16 streams at a time, {EVENTS} events each, one a write"),
    "P100": Cell("stream", 100, PACED, "100 streams at a time, one event every 5 ms", warm_up=100),
    "C16tls": Cell("stream", 16, (), "C16 over TLS 1.3", tls=True, always=False),
    "M64": Cell("map", 64, (), "40,000 rows, 64 at a time; the unit answers calls as in A64", calls=40_000),
}
BENCHES = ("calls", "stream", "map", "memory", "convert", "import")


class Package(NamedTuple):
    module: str
    requirement: str


# Arms that are packages, and how to get them. `./dev bench` installs none of them.
PACKAGES = {
    "aiohttp": Package("aiohttp", "aiohttp==3.14.5"),
    "anyllm": Package("any_llm", "any-llm-sdk[openai]==1.40.2"),
    "edgequake": Package("edgequake_litellm", "edgequake-litellm==0.10.4"),
    "f3dx": Package("f3dx", "f3dx[router]==0.0.19"),
    "genai_pyo3": Package("genai_pyo3", "genai-pyo3==0.7.1"),
    "httpx": Package("httpx", "httpx==0.28.1"),
    "liter_llm": Package("liter_llm", "liter-llm==2.4.0"),
    "litellm": Package("litellm", "litellm==1.110.2"),
    "neograph": Package("neograph_engine", "neograph-engine==0.16.0"),
    "openai": Package("openai", "openai[aiohttp]==3.57.0"),
    "openrouter": Package("openrouter", "openrouter==1.3.84"),
    "pycurl": Package("pycurl", "pycurl==7.49.0"),
    "pyreqwest": Package("pyreqwest", "pyreqwest==0.15.1"),
    "uvloop": Package("uvloop", "uvloop==0.23.0"),
}
OF_PACKAGE = {"f3dx_router": "f3dx", "litellm_router": "litellm", "openai_aiohttp": "openai"}
OURS = "orchestra orchestra_curl"
OBJECTS = "orchestra_objects orchestra_objects_curl"
MAPS = "orchestra_map orchestra_map_curl"
FLOORS = "asyncio asyncio+uvloop pycurl pyreqwest"
PEERS = (
    "aiohttp httpx openai openai_aiohttp litellm litellm_router anyllm liter_llm neograph genai_pyo3 edgequake f3dx "
    "f3dx_router openrouter"
)
ARMS = {
    "calls": f"{OURS} {OBJECTS} {MAPS} {FLOORS} {PEERS}".split(),
    "stream": f"{OURS} {OBJECTS} {FLOORS} {PEERS}".split(),
    "map": f"{MAPS} {OURS} {FLOORS}".split(),
}
ONLY_CALLS = {"orchestra_map", "f3dx_router"}
# A lap of these takes too long there: openrouter needs 12 ms of CPU a call.
TOO_SLOW = {"openrouter": {"A1000", "A1000d50", "A1000d50tls", "P100"}, "litellm": {"P100"}, "litellm_router": {"P100"}}


class Arm(NamedTuple):
    name: str

    @property
    def stem(self) -> str:
        """Of its file, a_STEM.py."""
        return self.name.partition("+")[0].removesuffix("_curl")

    @property
    def transport(self) -> str:
        return "curl" if self.name.partition("+")[0].endswith("_curl") else "own"

    @property
    def packages(self) -> list[str]:
        parts = [OF_PACKAGE.get(part, part) for part in self.name.split("+")]
        return [part for part in parts if part in PACKAGES]


class Comparison:
    """Arms beside the unit, cell by cell and round by round."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.options = bench.options
        self.missing = self.missing_packages()

    # ---- arms

    def file_of(self, arm: Arm) -> Path:
        folders = [HERE / "arms", *([self.options.arms_folder] if self.options.arms_folder else [])]
        for folder in folders:
            path = Path(folder / f"a_{arm.stem}.py")
            if path.exists():
                return path
        raise SystemExit(f"bench: no arm {arm.name}: looked for a_{arm.stem}.py in {', '.join(map(str, folders))}")

    def missing_packages(self) -> set[str]:
        modules = [package.module for package in PACKAGES.values()]
        look = f"import importlib.util as u, json; print(json.dumps([bool(u.find_spec(m)) for m in {modules!r}]))"
        done = subprocess.run([self.options.python, "-c", look], capture_output=True, text=True, check=True)
        return {name for name, there in zip(PACKAGES, json.loads(done.stdout), strict=True) if not there}

    def choose_arms(self, bench: str) -> list[Arm]:
        """The arms whose packages are there; a line about each of the others."""
        if self.options.arms:
            wanted = [Arm(name) for name in self.options.arms.split(",") if name != UNIT]
        else:
            wanted = [Arm(name) for name in ARMS[bench]]
            if self.options.arms_folder:
                known = {f"a_{arm.stem}.py" for arm in wanted}
                more = [path for path in sorted(self.options.arms_folder.glob("a_*.py")) if path.name not in known]
                wanted += [Arm(path.stem[2:]) for path in more]
        chosen = []
        for arm in wanted:
            lacks = [package for package in arm.packages if package in self.missing]
            if lacks:
                say(f"{arm.name} is left out: no package {PACKAGES[lacks[0]].module}")
            elif bench != "stream" or arm.stem not in ONLY_CALLS:
                chosen.append(arm)
        if self.missing:
            others = " ".join(f"'{PACKAGES[name].requirement}'" for name in sorted(self.missing))
            say(f"the other clients: pip install {others}")
            say("into an environment of their own, and --python PATH/bin/python")
        return chosen

    # ---- one measurement

    def measure(self, arm: Arm | None, cell: Cell, *extra: str) -> dict[str, Any]:
        """None: the unit."""
        stream = cell.bench == "stream"
        with self.bench.upstream("--events", str(EVENTS), *cell.mock, tls=cell.tls) as upstream:
            if arm is None:
                command = [str(self.bench.curl_poll), "--port", str(upstream.port)]
                command += ["--concurrency", str(cell.concurrency), "--stream" * stream, str(EVENTS) * stream]
                command += ["--ca-file" * cell.tls, upstream.ca_file]
            else:
                command = [self.options.python, str(HERE / "drive.py"), str(self.file_of(arm)), *extra]
                command += ["--stream" * stream, "--uvloop" * arm.name.endswith("+uvloop")]
                command += ["--calls", str(cell.calls)] if cell.calls else []
            command += ["--seconds", str(self.options.seconds)]
            command += ["--warm-up", str(cell.warm_up)] if cell.warm_up else []
            more = {"CONC": str(cell.concurrency), "ORCHESTRA_BENCH_TRANSPORT": arm.transport if arm else ""}
            return self.bench.result([word for word in command if word], upstream.environment | more)

    # ---- all of them

    def right_answers(self, arms: list[Arm], bench: str, tls: bool) -> list[Arm]:
        """The arms that give the mock's exact text; nothing else is worth timing."""
        good = []
        for arm in arms:
            row = self.measure(arm, Cell(bench, 2, tls=tls), "--check")
            if row["errors"]:
                say(f"{arm.name} is left out{' of TLS' * tls}: {row['why']}")
            else:
                good.append(arm)
        return good

    def run(self, bench: str, cells: list[str]) -> None:
        chosen = self.choose_arms(bench)
        good = {tls: self.right_answers(chosen, bench, tls) for tls in sorted({CELLS[name].tls for name in cells})}
        rows: list[dict[str, Any]] = []
        for number in range(self.options.rounds):
            for name in cells:
                arms = [arm for arm in good[CELLS[name].tls] if name not in TOO_SLOW.get(arm.stem, ())]
                for arm in random.sample([None, *arms], len(arms) + 1):
                    busy = wait_until_quiet()
                    row = self.measure(arm, CELLS[name])
                    row |= {"arm": arm.name if arm else UNIT, "cell": name, "round": number}
                    row |= {"busy_before": round(busy, 2)}
                    rows.append(row)
                    if self.options.out:
                        with open(self.options.out, "a") as file:
                            file.write(json.dumps(row) + "\n")
            say(f"{bench}: round {number + 1} of {self.options.rounds} is done")
        for name in cells:
            print_table(name, [row for row in rows if row["cell"] == name])


_PER = {"calls": "call", "stream": "stream", "map": "row"}


def print_table(name: str, rows: list[dict[str, Any]]) -> None:
    """Ratios to the unit of the same round: median [min-max]. A row with an error is void and is only counted."""
    cell = CELLS[name]
    unit = {row["round"]: row["cpu_us"] for row in rows if row["arm"] == UNIT and not row["errors"]}
    per = _PER[cell.bench]
    titles = ["arm", f"CPU, {UNIT} = 1", f"CPU us/{per}", f"{per}s/s", "p50 / p99 ms", "RSS MB"]
    titles += ["connections", "rounds"]
    if cell.bench == "stream":
        titles.insert(3, "us/event")
    if cell.bench == "map":
        titles.insert(6, "kept kB/row")
    lines = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        good = [row for row in own if not row["errors"] and row["round"] in unit]
        void = len(own) - len(good)
        if not good:
            why = next((row["why"] for row in own if row.get("why")), "the unit has no figure")
            lines.append((float("inf"), f"| {arm} | void: {why[:100]} |" + " |" * (len(titles) - 2)))
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
        if cell.bench == "stream":
            figures.insert(2, f"{middle('cpu_us') / EVENTS:.2f}")
        if cell.bench == "map":
            rest = [row for row in good if "rss_peak_mb" in row]
            kept = [(row["rss_peak_mb"] - row["rss_before_mb"]) * 1024 / row["calls"] for row in rest]
            figures.insert(5, f"{statistics.median(kept):.2f}" if kept else "-")
        said = {str(row["transport"]) for row in good if row.get("transport")}
        other = said - {Arm(arm).transport}
        shown = f"{arm} (attempts say {', '.join(sorted(other))})" if other else arm
        lines.append((statistics.median(ratios), f"| {shown} | {' | '.join(figures)} |"))
    print(f"\n### {name}: {cell.meaning}\n")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    print("\n".join(line for _, line in sorted(lines)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=BENCHES, help="without it: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.2, help="of one measurement")
    parser.add_argument("--cells", help=f"separated by commas; of {', '.join(CELLS)}")
    parser.add_argument(
        "--arms",
        help=f"separated by commas; of {', '.join(ARMS['calls'])}; +uvloop sets the loop, _curl the transport",
    )
    parser.add_argument(
        "--arms-folder", type=Path, default=os.environ.get("ORCHESTRA_BENCH_ARMS") or None,
        help="more arms: files a_NAME.py; also from ORCHESTRA_BENCH_ARMS",
    )  # fmt: skip
    parser.add_argument(
        "--python", default=os.environ.get("ORCHESTRA_BENCH_PYTHON") or sys.executable,
        help="the interpreter whose packages are measured; also from ORCHESTRA_BENCH_PYTHON",
    )  # fmt: skip
    parser.add_argument("--checks", help="of memory, separated by commas; without it all")
    parser.add_argument("--transport", default="own", help="of memory: own or curl")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="where bench_mock is")
    parser.add_argument("--package", type=Path, default=ROOT / "python", help="the folder that holds orchestra")
    parser.add_argument("--out", help="a file that gets each measurement as a line of JSON")
    options = parser.parse_args()
    options.build, options.package = options.build.resolve(), options.package.resolve()
    if options.arms_folder is not None:
        options.arms_folder = Path(options.arms_folder).resolve()
    wanted = options.cells.split(",") if options.cells else [name for name, cell in CELLS.items() if cell.always]
    if unknown := [cell for cell in wanted if cell not in CELLS]:
        parser.error(f"no cell {unknown[0]}: there are {', '.join(CELLS)}")
    python = subprocess.run([options.python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Linux {platform.release()}, {python}")
    good = True
    with tempfile.TemporaryDirectory(prefix="orchestra-bench-") as folder:
        bench = Bench(options, Path(folder))
        comparison = None
        for name in [options.name] if options.name else BENCHES:
            if name in ARMS:
                cells = [cell for cell in wanted if CELLS[cell].bench == name]
                if cells:
                    comparison = comparison or Comparison(bench)
                    comparison.run(name, cells)
                elif options.name:
                    parser.error(f"{name} has no cell {options.cells}")
            elif name == "memory":
                good = bench_memory(bench) and good
            elif name == "convert":
                good = bench_convert(bench) and good
            else:
                good = bench_import(bench, processes=20) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
