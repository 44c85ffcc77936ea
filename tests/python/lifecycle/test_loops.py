"""Event loops come and go while the engine stays."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Upstream

MODEL = "up/m-1"
Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def engine(upstream: Upstream) -> Iterator[oc.Engine]:
    with upstream.engine() as made:
        yield made
        made.close(0)


async def text(engine: oc.Engine, words: str) -> str:
    return (await engine.achat(words, model=MODEL)).text


async def texts(engine: oc.Engine, name: str, count: int) -> list[str]:
    return await asyncio.gather(*(text(engine, f"{name} {i}") for i in range(count)))


def test_two_hundred_loops_after_each_other(engine: oc.Engine) -> None:
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0

    asyncio.run(text(engine, "first"))
    before = descriptors()
    for i in range(200):
        assert asyncio.run(text(engine, f"loop {i}")) == f"loop {i}"
    assert descriptors() <= before + 2


def test_two_loops_in_two_threads_at_once_and_a_thread_beside_them(engine: oc.Engine) -> None:
    with ThreadPoolExecutor(3) as pool:
        loops = [pool.submit(lambda name=name: asyncio.run(texts(engine, name, 100))) for name in ("left", "right")]
        plain = pool.submit(lambda: [engine.chat(f"sync {i}", model=MODEL).text for i in range(100)])
        assert [one.result(30) for one in loops] == [[f"{n} {i}" for i in range(100)] for n in ("left", "right")]
        assert plain.result(30) == [f"sync {i}" for i in range(100)]


def test_many_loops_in_many_threads_come_and_go(engine: oc.Engine) -> None:
    def live(name: int) -> bool:
        return all(
            asyncio.run(texts(engine, f"{name}/{turn}", 5)) == [f"{name}/{turn} {i}" for i in range(5)]
            for turn in range(10)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(live, range(8)))


def test_calls_that_a_closed_loop_left_behind_end_when_the_next_loop_comes(
    engine: oc.Engine, upstream: Upstream, hold: Callable[[str], None], until: Until
) -> None:
    """Nothing tells of `loop.close()` with tasks in it, which asyncio.run never does; the engine sees it next time."""
    answer = upstream.answer
    hold("before any answer")
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(engine.achat("Hi", model=MODEL)) for _ in range(4)]
    while len(upstream.questions) < 4:
        loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # what asyncio itself says of them
    del tasks, task, loop
    left, upstream.answer = list(upstream.questions), answer
    assert asyncio.run(text(engine, "on")) == engine.chat("on", model=MODEL).text == "on"
    gc.collect()
    for question in left:
        assert question.closed.wait(2), "the upstream goes on with a call that nobody can receive"
    until(lambda: engine.stats()["in_flight"] == 0)


def test_answers_for_a_closed_loop_are_dropped_in_silence(
    engine: oc.Engine, upstream: Upstream, hold: Callable[[str], None], until: Until
) -> None:
    """The tasks are held, so that nothing cancels their calls: the answers come, and nobody waits for them."""
    answer = upstream.answer
    hold("before any answer")
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(text(engine, f"{i}")) for i in range(4)]
    while len(upstream.questions) < 4:
        loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    upstream.answer = answer
    for question in list(upstream.questions):
        question.send(answer(question))
    until(lambda: engine.stats()["in_flight"] == 0)
    assert engine.stats()["calls"] == 4 and not any(task.done() for task in tasks)
    assert asyncio.run(text(engine, "on")) == "on"
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_dropped_is_not_kept_by_the_engine(engine: oc.Engine, until: Until) -> None:
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(text(engine, "once")) == "once"
    known = weakref.ref(loop)
    del loop
    gc.collect()
    assert known() is None
    assert asyncio.run(text(engine, "again")) == "again"


def test_a_loop_that_is_closed_is_not_kept_by_the_engine(engine: oc.Engine) -> None:
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(text(engine, "once")) == "once"
    loop.close()
    known = weakref.ref(loop)
    del loop
    gc.collect()
    assert known() is None


def test_an_engine_closed_by_a_thread_leaves_the_loop_usable(upstream: Upstream) -> None:
    async def run() -> list[str]:
        first, second = upstream.engine(), upstream.engine()
        assert await text(first, "first") == "first"
        await asyncio.to_thread(first.close)
        with pytest.raises(RuntimeError, match="closed"):
            await text(first, "refused")
        answers = [await text(second, "second")]
        await second.aclose()
        return answers

    assert asyncio.run(run()) == ["second"]


def test_an_engine_dropped_in_a_loop_leaves_the_loop_usable(upstream: Upstream) -> None:
    async def run() -> int:
        for i in range(20):
            assert await text(upstream.engine(), f"{i}") == f"{i}"
        gc.collect()
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        return len(loop._selector.get_map())  # type: ignore[attr-defined]

    assert asyncio.run(run()) <= 2  # the loop's own


def test_a_coroutine_that_is_never_awaited_starts_nothing(engine: oc.Engine, upstream: Upstream) -> None:
    coroutine = engine.achat("Hi", model=MODEL)
    coroutine.close()
    assert asyncio.run(text(engine, "on")) == "on"
    assert len(upstream.questions) == 1


def test_a_call_outside_a_loop_says_so(engine: oc.Engine, upstream: Upstream) -> None:
    with pytest.raises(RuntimeError, match="loop"):
        engine.astream("Hi", model=MODEL)
    coroutine = engine.achat("Hi", model=MODEL)
    with pytest.raises(RuntimeError, match="loop"):
        coroutine.send(None)
    assert not upstream.questions and engine.stats()["in_flight"] == 0


def test_a_stream_begun_in_one_loop_and_read_in_another_does_not_hang(engine: oc.Engine) -> None:
    async def begin() -> oc.AsyncStream:
        return engine.astream("one two", model=MODEL)

    async def read(stream: oc.AsyncStream) -> str:
        return "".join([delta.text async for delta in stream])

    stream = asyncio.run(begin())
    try:
        assert asyncio.run(asyncio.wait_for(read(stream), 2)) == "onetwo"
    except RuntimeError as error:
        assert "loop" in str(error)


def test_plain_calls_inside_a_running_loop_do_not_hang(engine: oc.Engine) -> None:
    async def cell() -> list[Any]:
        waiting = asyncio.ensure_future(text(engine, "beside"))
        with engine.stream("one two", model=MODEL) as stream:
            streamed = "".join(delta.text for delta in stream)
        batch = engine.map(["a", "b"], model=MODEL)
        return [engine.chat("plain", model=MODEL).text, streamed, [row.text for row in batch.ok], await waiting]

    assert asyncio.run(cell()) == ["plain", "onetwo", ["a", "b"], "beside"]


def test_a_storm_of_tasks_of_which_half_are_cancelled(engine: oc.Engine, until: Until) -> None:
    async def run() -> list[Any]:
        tasks = [asyncio.ensure_future(text(engine, f"{i}")) for i in range(400)]
        for turn, task in enumerate(tasks):
            if turn % 20 == 0:
                await asyncio.sleep(0)
            if turn % 2:
                task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for i, result in enumerate(asyncio.run(run())):
        assert result == f"{i}" or (i % 2 and isinstance(result, asyncio.CancelledError))
    until(lambda: engine.stats()["in_flight"] == 0)


def test_loops_of_threads_that_end_with_the_engine_in_the_middle(upstream: Upstream) -> None:
    """A race of engine.close() against loops that begin and end: answers, Cancelled or `closed`, and no hang."""
    for _ in range(10):
        engine = upstream.engine()
        odd: list[BaseException] = []

        def live(engine: oc.Engine = engine, odd: list[BaseException] = odd) -> None:
            try:
                while True:
                    asyncio.run(texts(engine, "x", 3))
            except (RuntimeError, oc.Cancelled):
                pass
            except BaseException as error:
                odd.append(error)

        threads = [threading.Thread(target=live) for _ in range(3)]
        for thread in threads:
            thread.start()
        while engine.stats()["calls"] < 10:
            os.sched_yield()
        engine.close(0)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert not odd
