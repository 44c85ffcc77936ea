"""A process that ends with calls in flight ends at once, with its own code, and says nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Ended, Upstream

SOON = 5.0  # seconds; a process that hangs is ended by the test after twenty

# How a script may leave calls behind. `asked` says how many requests the upstream has got by then.
LEFT = {
    "a chat in a daemon thread": (1, 'thread(quiet(lambda: engine.chat("Hi", model=MODEL)))'),
    "chats in many daemon threads": (8, 'for _ in range(8): thread(quiet(lambda: engine.chat("Hi", model=MODEL)))'),
    "a stream half read": (1, 'stream = engine.stream("Hi", model=MODEL)\nassert next(stream).text == "one"'),
    "a stream never read": (1, 'stream = engine.stream("Hi", model=MODEL)'),
    "a stream read in a daemon thread": (1, 'thread(quiet(lambda: list(engine.stream("Hi", model=MODEL))))'),
    "a map in a daemon thread": (8, 'thread(quiet(lambda: engine.map(["Hi"] * 20, model=MODEL, concurrency=8)))'),
    "an asyncio.run in a daemon thread": (1, 'thread(quiet(lambda: asyncio.run(engine.achat("Hi", model=MODEL))))'),
    "an amap in a daemon thread": (
        8,
        'thread(quiet(lambda: asyncio.run(engine.amap(["Hi"] * 20, model=MODEL, concurrency=8))))',
    ),
    "a task that asyncio.run cancelled": (
        1,
        "async def main():\n    global task\n"
        '    task = asyncio.ensure_future(engine.achat("Hi", model=MODEL))\n    await asyncio.to_thread(input)\n'
        "asyncio.run(main())",
    ),
    "an async stream half read": (
        1,
        "async def main():\n    global stream\n"
        '    stream = engine.astream("Hi", model=MODEL)\n    assert (await anext(stream)).text == "one"\n'
        "asyncio.run(main())",
    ),
    "a loop that still has a call": (
        1,
        "loop = asyncio.new_event_loop()\n"
        'task = loop.create_task(engine.achat("Hi", model=MODEL))\n'
        "loop.run_until_complete(asyncio.to_thread(input))\n"
        "loop.run_until_complete(loop.shutdown_default_executor())\n"
        "task._log_destroy_pending = False\n"  # what asyncio itself says of such a task
        "loop.close()",
    ),
    "a key that never comes": (
        0,
        "asked = threading.Event()\n"
        "engine = oc.Engine(providers=[provider(api_key=lambda: asked.set() or time.sleep(60) or 'k')])\n"
        'thread(quiet(lambda: engine.chat("Hi", model=MODEL)))\nasked.wait()',
    ),
    "a wait for the next try": (
        1,
        "engine = oc.Engine(providers=[provider()])\n"
        'thread(quiet(lambda: engine.chat("retry", model=MODEL)))',
    ),
    "a close that waits": (
        1,
        'thread(quiet(lambda: engine.chat("Hi", model=MODEL)))\n'
        'until(lambda: engine.stats()["in_flight"])\n'
        "thread(quiet(lambda: engine.close(60)))",
    ),
}  # fmt: skip


@pytest.fixture
def stuck(upstream: Upstream, hold: Callable[[str], None]) -> None:
    hold("in the stream")
    streams = upstream.answer

    def answer(question: Any) -> bytes:
        if question.text == "retry":
            return b"HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n"
        return streams(question) if question.body.get("stream") else b""

    upstream.answer = answer


def check(ended: Ended, code: int, err: str = "") -> None:
    assert (ended.code, ended.err) == (code, err)
    assert ended.seconds < SOON, f"it took {ended.seconds:.1f} s to end"


def started(upstream: Upstream, script: Any, left: str, last: str) -> Any:
    """A script that has left that behind, waits for a line, and then ends as `last` says."""
    count, source = LEFT[left]
    process = script(f"{source}\ninput()\n{last}\n")
    upstream.wait_for(count)
    return process


@pytest.mark.usefixtures("stuck")
@pytest.mark.parametrize("left", LEFT)
def test_a_script_ends_at_once_and_says_nothing(upstream: Upstream, script: Any, left: str) -> None:
    process = started(upstream, script, left, "")
    process.go_on(2)
    check(process.end(), 0)
    for question in upstream.questions:
        assert question.closed.wait(5)


@pytest.mark.usefixtures("stuck")
@pytest.mark.parametrize(
    "use",
    [
        'engine.chat("Hi", model=MODEL)',
        'list(engine.stream("Hi", model=MODEL))',
        'asyncio.run(engine.achat("Hi", model=MODEL))',
        'engine.map(["Hi"], model=MODEL)',
    ],
)
def test_a_daemon_thread_that_waits_says_nothing_at_exit(upstream: Upstream, script: Any, use: str) -> None:
    """As with any other wait of a daemon thread, which Python just stops: no traceback for what nobody did."""
    process = script(f"thread(lambda: {use})\ninput()")
    upstream.wait_for(1)
    process.go_on(2)
    check(process.end(), 0)


@pytest.mark.usefixtures("stuck")
@pytest.mark.parametrize(
    ("last", "code"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("raise SystemExit", 0),
        ("engine.close(0)", 0),
        ("del engine; gc.collect()", 0),
        ("import atexit; atexit.register(lambda: say(engine.closed))", 0),
        ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
        ("signal.raise_signal(signal.SIGKILL)", -signal.SIGKILL),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_every_way_out_keeps_its_code(upstream: Upstream, script: Any, last: str, code: int) -> None:
    process = started(upstream, script, "chats in many daemon threads", last)
    process.go_on(2)
    ended = process.end()
    assert ended.code == code and ended.seconds < SOON
    if code != -signal.SIGABRT:  # there faulthandler speaks, as it was told to
        assert ended.err == ""


@pytest.mark.usefixtures("stuck")
def test_an_exception_that_nobody_catches_is_all_that_is_said(upstream: Upstream, script: Any) -> None:
    process = started(upstream, script, "a stream half read", "raise LookupError('the end')")
    process.go_on(2)
    ended = process.end()
    assert ended.code == 1 and ended.seconds < SOON
    assert ended.err.startswith("Traceback") and ended.err.endswith("LookupError: the end\n")
    assert ended.err.count("Traceback") == 1 and "orchestra" not in ended.err


@pytest.mark.usefixtures("stuck")
@pytest.mark.parametrize(
    "use",
    [
        'engine.chat("Hi", model=MODEL)',
        'list(engine.stream("Hi", model=MODEL))',
        'asyncio.run(ticking(engine.achat("Hi", model=MODEL)))',
        'engine.map(["Hi"] * 20, model=MODEL, concurrency=8)',
    ],
)
@pytest.mark.parametrize("by", ["SIGTERM", "SIGTERM that exits", "SIGINT"])
def test_a_signal_ends_a_script_that_waits(upstream: Upstream, script: Any, use: str, by: str) -> None:
    number, handler, code = {
        "SIGTERM": (signal.SIGTERM, "", -signal.SIGTERM),
        "SIGTERM that exits": (signal.SIGTERM, "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))", 5),
        "SIGINT": (signal.SIGINT, "", -signal.SIGINT),
    }[by]
    is_map = "map" in use
    process = script(f"{handler}\nbatch = {use}\nsay(batch.complete, len(batch))\n")
    upstream.wait_for(8 if is_map else 1)
    process.signal(number)
    ended = process.end()
    assert ended.seconds < SOON
    if by == "SIGINT" and is_map:  # the first one returns the batch
        assert (ended.code, ended.out, ended.err) == (0, "False 20\n", "")
        return
    assert (ended.code, ended.out) == (code, "")
    if by == "SIGINT":
        assert ended.err.rstrip().endswith("KeyboardInterrupt") and "Exception ignored" not in ended.err
    else:
        assert ended.err == ""
    for question in upstream.questions:
        assert question.closed.wait(5)


def test_a_second_ctrl_c_is_raised_by_map(upstream: Upstream, script: Any) -> None:
    upstream.answer = lambda question: b""
    process = script("""
class Rows:
    def __iter__(self):
        return self
    def __next__(self):
        return "Hi"
real = signal.getsignal(signal.SIGINT)
interrupts = 0
def interrupted(*arguments):
    global interrupts
    interrupts += 1
    if interrupts == 1:
        signal.raise_signal(signal.SIGINT)  # a second one, before the first has been dealt with
    real(*arguments)
signal.signal(signal.SIGINT, interrupted)
try:
    engine.map(Rows(), model=MODEL, concurrency=4)
except KeyboardInterrupt:
    say("raised")
else:
    say("returned", interrupts)
""")
    upstream.wait_for(4)
    process.signal(signal.SIGINT)
    ended = process.end()
    # Both may arrive as one; what counts is that nothing hangs, and that two are never more than a batch or a raise.
    assert ended.code == 0 and ended.out in ("raised\n", "returned 2\n") and ended.err == ""


def test_ctrl_c_reaches_a_script_that_goes_on(upstream: Upstream, script: Any) -> None:
    held = upstream.answer
    upstream.answer = lambda question: b"" if question.text == "Hi" else held(question)
    process = script("""
for use in (lambda: engine.chat("Hi", model=MODEL), lambda: list(engine.stream("Hi", model=MODEL)),
            lambda: asyncio.run(ticking(engine.achat("Hi", model=MODEL)))):
    try:
        use()
    except KeyboardInterrupt:
        say(engine.chat("on", model=MODEL).text)
""")
    for count in (1, 3, 5):
        question = upstream.wait_for(count)[count - 1]
        since = process.signal(signal.SIGINT)
        assert question.closed.wait(5)
        assert question.closed_at is not None and question.closed_at - since < 2
    ended = process.end()
    assert (ended.code, ended.out, ended.err) == (0, "on\n" * 3, "")


def test_calls_made_at_the_very_end_are_answered_or_refused(script: Any) -> None:
    """In an atexit function that was registered before the first engine, in `__del__` at the end, and in a thread."""
    for source in (
        """
import atexit
class Last:
    def __init__(self):
        self.engine = engine
    def __del__(self):
        try:
            self.engine.chat("Hi", model=MODEL, timeout=2)
        except (RuntimeError, oc.OrchestraError):
            pass
last = Last()
""",
        """
import atexit
def at_end():
    try:
        say(engine.chat("Hi", model=MODEL, timeout=2).text)
    except (RuntimeError, oc.OrchestraError) as error:
        say("Hi")
atexit.register(at_end)
""",
        """
def on_and_on():
    while True:
        engine.chat("Hi", model=MODEL)
for _ in range(4):
    thread(quiet(on_and_on))
until(lambda: engine.stats()["calls"] > 50)
""",
        """
async def on_and_on():
    while True:
        await engine.achat("Hi", model=MODEL)
thread(quiet(lambda: asyncio.run(on_and_on())))
until(lambda: engine.stats()["calls"] > 50)
""",
    ):
        ended = script(source).end()
        assert (ended.code, ended.err) == (0, ""), source
        assert ended.seconds < SOON + 5


def test_an_engine_that_asked_nothing_costs_nothing_at_exit(script: Any) -> None:
    ended = script("say(threading.active_count(), len(os.listdir('/proc/self/task')))").end()
    assert (ended.code, ended.out, ended.err) == (0, "1 1\n", "")


def test_no_process_outlives_its_calls(upstream: Upstream, script: Any, hold: Callable[[str], None]) -> None:
    """A thread that is no daemon keeps its process until its call has ended, by its own deadline, and not longer."""
    hold("before any answer")
    process = script("""
def work():
    try:
        engine.chat("Hi", model=MODEL, timeout=0.5)
    except oc.DeadlineExceeded as error:
        say(error.phase)
thread(work, daemon=False)
""")
    upstream.wait_for(1)
    since = time.monotonic()
    ended = process.end()
    assert (ended.code, ended.out, ended.err) == (0, "total\n", "")
    assert time.monotonic() - since < SOON
