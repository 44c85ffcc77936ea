"""Memory is flat over thousands of calls, those that fail and those that are given up included."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# A leak of 2 kB a call would be 10 MB over 5,000 calls; the allocator's own drift is far below the bound.
MOST_KB = 6_000

MEASURE = """
def resident():
    gc.collect()
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])
text = "word " * 100
def grown(work, turns):
    work(turns // 4)
    before = resident()
    work(turns)
    return resident() - before
"""

FORMS = {
    "chat": (
        5_000,
        """
def work(turns):
    for _ in range(turns):
        engine.chat(text, model=MODEL)
""",
    ),
    "achat": (
        4_000,
        """
def work(turns):
    async def run():
        for _ in range(turns // 50):
            await asyncio.gather(*(engine.achat(text, model=MODEL) for _ in range(50)))
    asyncio.run(run())
""",
    ),
    "stream": (
        1_000,
        """
def work(turns):
    for _ in range(turns):
        list(engine.stream("one two three four five", model=MODEL))
""",
    ),
    "map": (
        4_000,
        """
def work(turns):
    for _ in range(turns // 500):
        engine.map([text] * 500, model=MODEL)
""",
    ),
    "errors": (
        1_500,
        """
def work(turns):
    for _ in range(turns // 2):
        for call in (lambda: engine.chat("fail", model=MODEL), lambda: engine.chat([{"role": 1}], model=MODEL)):
            try:
                call()
            except oc.InvalidRequest:
                pass
""",
    ),
    "cancelled": (
        1_000,
        """
def work(turns):
    async def run():
        for i in range(turns):
            task = asyncio.ensure_future(engine.achat(text, model=MODEL))
            await asyncio.sleep(0.0005 * (i % 3))
            task.cancel()
            await asyncio.wait([task])
    asyncio.run(run())
""",
    ),
    "streams that are left": (
        1_000,
        """
def work(turns):
    for _ in range(turns):
        with engine.stream("one two three four five", model=MODEL) as stream:
            next(stream)
""",
    ),
    "updates": (
        500,
        """
def work(turns):
    for i in range(turns):
        engine.update(providers=[provider(api_key=f"key-{i}", headers={"x": oc.Secret(f"secret-{i}")})])
        if i % 10 == 0:
            engine.chat(text, model=MODEL)
""",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_memory_is_flat(upstream: Upstream, script: Any, form: str) -> None:
    usual = upstream.answer
    bad = b'HTTP/1.1 400 Bad\r\ncontent-length: 27\r\n\r\n{"error": {"message": "x"}}'
    upstream.answer = lambda question: bad if question.text == "fail" else usual(question)
    turns, source = FORMS[form]
    ended = script(MEASURE + source + f"\nsay(grown(work, {turns}))").end(50)
    assert (ended.code, ended.err) == (0, "")
    assert int(ended.out) < MOST_KB, f"{turns} calls took {int(ended.out)} kB"
