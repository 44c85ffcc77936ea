"""What Python's json needs for the bytes that bench_convert has written, and what orchestra.wire needs to read them.

usage: convert_client.py FOLDER [SECONDS (of one figure)]; prints a line of JSON as bench_convert does
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestra import wire


def cost(seconds: float, convert: Callable[[], object]) -> float:
    """Nanoseconds of CPU of one, after a warm-up of a fifth of the time."""

    def run(nanoseconds: float) -> float:
        started, count = time.process_time_ns(), 0
        while (used := time.process_time_ns() - started) < nanoseconds or not count:
            for _ in range(20):
                convert()
            count += 20
        return used / count

    run(seconds * 2e8)
    return run(seconds * 1e9)


def loads_of_stream(body: bytes) -> list[Any]:
    """The objects of the events, read as plainly as Python allows."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def main(folder: Path, seconds: float) -> None:
    rows = []
    for path in sorted(folder.iterdir()):
        protocol, payload, kind = path.name.rsplit(".", 2)
        body = path.read_bytes()

        def add(what: str, convert: Callable[[], object], at: tuple[str, str] = (protocol, payload)) -> None:
            rows.append({"protocol": at[0], "payload": at[1], "what": what, "ns": cost(seconds, convert)})

        if kind == "stream":
            events = loads_of_stream(body)
            add("loads stream", lambda body=body: loads_of_stream(body))
            add("dumps stream", lambda events=events: [dumps(event) for event in events])
            text = "".join(delta.text for delta in wire.decode_stream(protocol, [body]))
            add(
                "wire.decode_stream",
                lambda at=protocol, body=body: "".join([delta.text for delta in wire.decode_stream(at, [body])]),
            )
            assert text == wire.decode_reply(protocol, (path.parent / f"{protocol}.{payload}.reply").read_bytes()).text
        else:
            value = json.loads(body)
            assert dumps(value) == body, f"json.dumps writes other bytes than {path.name}"
            add(f"loads {kind}", lambda body=body: json.loads(body))
            add(f"dumps {kind}", lambda value=value: dumps(value))
        if kind == "reply":
            add("wire.decode_reply", lambda at=protocol, body=body: wire.decode_reply(at, body).text)
    print(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.05)
