"""orchestra's map: one blocking call for many rows, which keeps every reply, and the text of each."""

from __future__ import annotations

from collections.abc import Iterator

from a_orchestra import MESSAGES, NAME, OPTIONS, close, engine, transport
from settings import CONCURRENCY

__all__ = ["close", "many", "transport"]


def many(count: int) -> Iterator[str]:
    batch = engine.map([MESSAGES] * count, model=NAME, concurrency=CONCURRENCY, progress=False, **OPTIONS)
    for row in batch:
        yield row.text if hasattr(row, "text") else repr(row)
