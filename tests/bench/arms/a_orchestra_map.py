"""orchestra's map: one blocking call for many rows, and the text of each reply."""

from __future__ import annotations

from a_orchestra import MESSAGES, NAME, OPTIONS, engine
from settings import CONCURRENCY


def many(count: int) -> list[str]:
    batch = engine.map([MESSAGES] * count, model=NAME, concurrency=CONCURRENCY, progress=False, **OPTIONS)
    return [row.text if hasattr(row, "text") else repr(row) for row in batch]


async def close() -> None:
    await engine.aclose()
