"""What it costs to convert between the package's own shape and each protocol's; the unit is Python's json."""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from harness import HERE, Bench, say, spread, wait_until_quiet

# What is converted, and what Python's json does with the same bytes.
UNITS = {
    "write request": "dumps request",
    "read reply": "loads reply",
    "read stream": "loads stream",
    "wire.decode_reply": "loads reply",
    "wire.decode_stream": "loads stream",
    "read request": "loads request",
    "write reply": "dumps reply",
    "write stream": "dumps stream",
}
Key = tuple[str, str, str]  # protocol, payload, what


def bench_convert(bench: Bench) -> bool:
    """Prints the table; False: the programs did not run to their end."""
    program = bench.options.build / "bench_convert"
    folder = Path(bench.folder / "convert")
    folder.mkdir()
    seconds = str(min(0.05, bench.options.seconds / 10))
    costs: dict[Key, list[float]] = {}
    sizes: dict[Key, int] = {}
    for number in range(bench.options.rounds):
        wait_until_quiet()
        for command in (
            [str(program), "--folder", str(folder), "--seconds", seconds],
            [bench.options.python, str(HERE / "convert_client.py"), str(folder), seconds],
        ):
            try:
                done = bench.client(command)
            except (OSError, subprocess.TimeoutExpired) as error:
                say(f"convert: {command[0]}: {error}")
                return False
            if done.returncode:
                say(f"convert: {command[0]} failed: {done.stderr.strip()[-300:]}")
                return False
            rows: list[dict[str, Any]] = json.loads(done.stdout)
            for row in rows:
                key = (row["protocol"], row["payload"], row["what"])
                costs.setdefault(key, []).append(row["ns"] / 1000)
                sizes[key] = row.get("bytes", sizes.get(key, 0))
                if bench.options.out:
                    with open(bench.options.out, "a") as file:
                        file.write(json.dumps(row | {"bench": "convert", "round": number}) + "\n")
        say(f"convert: round {number + 1} of {bench.options.rounds} is done")
    print(f"\n### convert: CPU of one conversion, {bench.options.rounds} rounds; json = 1\n")
    print("| protocol | payload | what | bytes | CPU us | json | json us | json = 1 |")
    print("|---|---|---|---|---|---|---|---|")
    for what, unit in UNITS.items():
        for protocol, payload, name in costs:
            if name != what:
                continue
            ours, json_costs = costs[protocol, payload, what], costs[protocol, payload, unit]
            ratios = [mine / theirs for mine, theirs in zip(ours, json_costs, strict=True)]
            # Those of Python have the bytes of the same conversion in C++.
            size = sizes[protocol, payload, what.replace("wire.decode_", "read ")]
            figures = f"{statistics.median(ours):.2f} | {unit} | {statistics.median(json_costs):.2f} | {spread(ratios)}"
            print(f"| {protocol} | {payload} | {what} | {size} | {figures} |")
    print(flush=True)
    return True
