#!/usr/bin/env python3
"""Checks who includes whom in cpp/ (docs/architecture.md): a room its row of the table, a library only one room."""

from __future__ import annotations

import re
import sys
from pathlib import Path

# The rooms that a room may include besides itself. CMakeLists.txt links by the same table.
ALLOWED: dict[str, set[str]] = {
    "json": set(),
    "chat": {"json"},
    "runtime": set(),
    "catalog": {"chat", "json"},
    "protocol": {"chat", "json"},
    "spend": {"catalog", "chat", "json"},
    "dispatch": {"spend", "protocol", "catalog", "runtime", "chat", "json"},
    "http": {"runtime"},
    "sim": {"runtime"},
    "fake": {"http", "protocol", "runtime", "chat", "json"},
    "engine": {"dispatch", "http", "sim", "spend", "protocol", "catalog", "runtime", "chat", "json"},
    "binding": {"engine", "fake", "spend", "protocol", "catalog", "runtime", "chat", "json"},
}

# Where an outside library may be included, as a pattern over the path below cpp/.
ONLY_IN: dict[str, str] = {
    r"simdjson": r"json/",
    r"curl/": r"http/",
    r"boost/": r"http/[^/]*\.cpp$",
    r"openssl/": r"http/",
    r"(pybind11/|Python\.h)": r"binding/",
    r"xxhash": r"engine/",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def complaints(path: str, text: str) -> list[str]:
    """What is wrong with the includes of one file; `path` is relative to cpp/."""
    room = path.split("/")[0]
    if room not in ALLOWED:
        return [f"cpp/{path}: {room}/ is no room of the table in tools/check_includes.py"]
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        where, (quote, target) = f"cpp/{path}:{number}", match.groups()
        other = target.split("/")[0]
        if quote == '"' and "/" not in target:
            found.append(f'{where}: "{target}" must be written from cpp/, as "{room}/{target}"')
        elif quote == '"' and other != room and other not in ALLOWED[room]:
            found.append(f"{where}: {room}/ may not include {other}/")
        for library, place in ONLY_IN.items():
            if re.match(library, target) and not re.match(place, path):
                found.append(f"{where}: <{target}> may be included only in cpp/{place}")
    return found


def main() -> int:
    root = Path(__file__).resolve().parent.parent / "cpp"
    found = []
    for path in sorted([*root.rglob("*.hpp"), *root.rglob("*.cpp")]):
        text = path.read_text(encoding="utf-8")
        found += complaints(path.relative_to(root).as_posix(), text)
        if path.suffix == ".hpp" and "#pragma once" not in text:
            found.append(f"cpp/{path.relative_to(root).as_posix()}: no #pragma once")
    print("\n".join(found) or "check_includes: every include stays within its room's row")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
