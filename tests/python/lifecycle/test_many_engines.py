"""Hundreds of engines in one process: what each opened comes back when it is closed, or when nobody holds it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

COUNT = """
def count():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
def settled(most, seconds=10):
    end = time.monotonic() + seconds
    while (now := count()) > most and (now[0] > most[0] or now[1] > most[1]) and time.monotonic() < end:
        time.sleep(0.002)
    return now[0] <= most[0] and now[1] <= most[1] or now
made = lambda: oc.Engine(providers=[provider()])
one = made(); one.chat("warm", model=MODEL); one.close(); del one
asyncio.run(asyncio.sleep(0))
start = count()
"""

WAYS = {
    "close": """
for i in range(300):
    one = made()
    assert one.chat(f"{i}", model=MODEL).text == f"{i}"
    one.close()
""",
    "with": """
for i in range(100):
    with made() as one:
        assert one.chat(f"{i}", model=MODEL).text == f"{i}"
""",
    "aclose": """
async def run():
    for i in range(300):
        async with made() as one:
            assert (await one.achat(f"{i}", model=MODEL)).text == f"{i}"
asyncio.run(run())
""",
    "dropped": """
for i in range(300):
    assert made().chat(f"{i}", model=MODEL).text == f"{i}"
""",
    "dropped in a cycle": """
for i in range(100):
    one = made()
    assert one.chat(f"{i}", model=MODEL).text == f"{i}"
    one.me = one
    del one
gc.collect()
""",
    "dropped after a loop": """
for i in range(100):
    one = made()
    assert asyncio.run(one.achat(f"{i}", model=MODEL)).text == f"{i}"
    del one
gc.collect()
""",
    "dropped with a key from a function": """
for i in range(100):
    assert oc.Engine(providers=[provider(api_key=lambda: "k")]).chat(f"{i}", model=MODEL).text == f"{i}"
gc.collect()
""",
    "never used": """
for i in range(300):
    made()
""",
    "refused": """
for i in range(300):
    try:
        oc.Engine(providers=[provider()], models=["wrong"])
    except oc.ConfigError:
        pass
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_hundreds_of_engines_leave_no_thread_and_no_descriptor(script: Any, way: str) -> None:
    ended = script(COUNT + WAYS[way] + "\nsay(settled(start))").end(45)
    assert (ended.code, ended.out, ended.err) == (0, "True\n", "")


def test_sixty_engines_at_once_serve_and_give_all_back(script: Any) -> None:
    ended = script(
        COUNT
        + """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
engines = [made() for _ in range(60)]
assert count() == start
for _ in range(3):
    for i, one in enumerate(engines):
        assert one.chat(f"{i}", model=MODEL).text == f"{i}"
threads, descriptors = count()
say(threads - start[0])
for one in engines[:30]:
    one.close()
del one, engines
say(settled(start))
"""
    ).end(45)
    assert (ended.code, ended.out, ended.err) == (0, "60\nTrue\n", "")


def test_an_engine_without_descriptors_left_fails_with_an_error_and_recovers(script: Any) -> None:
    ended = script(
        COUNT
        + """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 1, hard))
for _ in range(2):
    try:
        one = made()
        one.chat("Hi", model=MODEL, retry=oc.Retry(attempts=1), timeout=5)
    except (oc.OrchestraError, OSError, RuntimeError) as error:
        assert str(error), repr(error)
        say("refused")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
one = None
say(made().chat("Hi", model=MODEL).text)
gc.collect()
say(settled(start))
"""
    ).end()
    assert (ended.code, ended.out, ended.err) == (0, "refused\nrefused\nHi\nTrue\n", "")
