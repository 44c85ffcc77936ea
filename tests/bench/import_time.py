"""What `import orchestra` takes, and what it must not load."""

from __future__ import annotations

import json
import statistics

from harness import Bench, say, spread, wait_until_quiet

# What `import orchestra` must not load: each costs more than the whole package may.
HEAVY = (
    "asyncio ssl sqlite3 multiprocessing unittest numpy pandas pyarrow pydantic matplotlib tqdm IPython requests httpx"
).split()
MOST_IMPORT_MILLISECONDS = 50

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
