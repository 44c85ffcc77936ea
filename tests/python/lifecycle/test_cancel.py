"""However a call is given up, its connection closes at once, its slot is free and its cost is booked as an estimate."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Upstream

MODEL = "up/m-1"
AtOnce = Callable[[Callable[[], float]], None]


@pytest.fixture(params=["own", "curl"], autouse=True)
def transport(request: pytest.FixtureRequest, upstream: Upstream) -> None:
    upstream.transport = request.param


@pytest.fixture
def engine(upstream: Upstream) -> Iterator[oc.Engine]:
    with upstream.engine() as made:
        yield made
        made.close(0)


@pytest.fixture(params=["before any answer", "in the body", "in the stream"])
def point(request: pytest.FixtureRequest, hold: Callable[[str], None]) -> str:
    hold(request.param)
    return str(request.param)


async def asked(upstream: Upstream, count: int) -> None:
    """The upstream has got so many requests, and the client whatever it answers at once."""
    end = time.monotonic() + 20
    while len(upstream.questions) < count:
        assert time.monotonic() < end, f"{len(upstream.questions)} of {count} requests came"
        await asyncio.sleep(0.001)


async def ticking(work: Awaitable[None]) -> None:
    """The work in a loop that turns: a signal just before the loop goes to sleep is seen at its next turn only."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)

    ticker = asyncio.ensure_future(tick())
    try:
        await work
    finally:
        ticker.cancel()


def check_books(engine: oc.Engine, until: Callable[[Callable[[], object]], None]) -> None:
    until(lambda: engine.stats()["in_flight"] == 0)
    stats = engine.stats()
    assert stats["queued"] == 0 and stats["cost"].estimated


async def call(engine: oc.Engine, point: str) -> None:
    """An asynchronous call that will hang at that point."""
    if point == "in the stream":
        async for _ in engine.astream("Hi", model=MODEL):
            pass
    else:
        await engine.achat("Hi", model=MODEL)


# ---- tasks


async def by_cancel(work: Awaitable[None], ready: Awaitable[None]) -> float:
    task = asyncio.ensure_future(work)
    await ready
    since = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return since


async def by_timeout(work: Awaitable[None], ready: Awaitable[None]) -> float:
    waiting = asyncio.ensure_future(ready)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            waiting.add_done_callback(lambda _: limit.reschedule(asyncio.get_running_loop().time()))
            await work
    return time.monotonic()


async def by_wait_for(work: Awaitable[None], ready: Awaitable[None]) -> float:
    waiting = asyncio.ensure_future(ready)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work, 0.2)
    since = time.monotonic()
    await waiting
    return since


async def by_sibling(work: Awaitable[None], ready: Awaitable[None]) -> float:
    async def fail() -> None:
        await ready
        raise LookupError("sibling")

    async def wait() -> None:
        await work

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(fail())
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    return time.monotonic()


async def by_gather(work: Awaitable[None], ready: Awaitable[None]) -> float:
    group = asyncio.gather(work, asyncio.sleep(60))
    await ready
    since = time.monotonic()
    group.cancel()
    with pytest.raises(asyncio.CancelledError):
        await group
    return since


@pytest.mark.parametrize("way", [by_cancel, by_timeout, by_wait_for, by_sibling, by_gather])
def test_a_task_that_is_cancelled_closes_its_connection_at_once(
    engine: oc.Engine, upstream: Upstream, point: str, way: Any, closes_at_once: AtOnce, until: Any
) -> None:
    def scenario() -> float:
        return asyncio.run(way(call(engine, point), asked(upstream, len(upstream.questions) + 1)))

    closes_at_once(scenario)
    check_books(engine, until)


def test_a_loop_that_ends_with_a_call_in_flight_closes_its_connection(
    engine: oc.Engine, upstream: Upstream, point: str, closes_at_once: AtOnce, until: Any
) -> None:
    async def leave_it() -> float:
        task = asyncio.ensure_future(call(engine, point))
        await asked(upstream, len(upstream.questions) + 1)
        assert not task.done()
        return time.monotonic()  # asyncio.run cancels what is left

    closes_at_once(lambda: asyncio.run(leave_it()))
    check_books(engine, until)


@pytest.mark.parametrize("by", ["close in another thread", "aclose"])
def test_an_engine_that_closes_ends_its_asynchronous_calls_with_cancelled(
    upstream: Upstream, point: str, by: str, closes_at_once: AtOnce
) -> None:
    async def run() -> float:
        engine = upstream.engine()
        task = asyncio.ensure_future(call(engine, point))
        await asked(upstream, len(upstream.questions) + 1)
        since = time.monotonic()
        if by == "aclose":
            await engine.aclose(timeout=0)
        else:
            await asyncio.to_thread(engine.close, 0)
        with pytest.raises(oc.Cancelled) as caught:
            await asyncio.wait_for(task, 10)
        assert caught.value.attempts[-1].cost.estimated
        return since

    closes_at_once(lambda: asyncio.run(run()))


def test_a_cancelled_amap_closes_every_connection(
    engine: oc.Engine, upstream: Upstream, closes_at_once: AtOnce, hold: Any, until: Any
) -> None:
    hold("before any answer")

    async def rows() -> None:
        await engine.amap([f"row {i}" for i in range(40)], model=MODEL, concurrency=10)

    closes_at_once(lambda: asyncio.run(by_cancel(rows(), asked(upstream, len(upstream.questions) + 10))))
    check_books(engine, until)
    assert all(question.closed.is_set() for question in upstream.questions)


def test_a_cancel_before_the_request_left_keeps_nothing(engine: oc.Engine, upstream: Upstream, until: Any) -> None:
    async def run() -> str:
        for turns in range(30):
            task = asyncio.ensure_future(engine.achat("Hi", model=MODEL))
            for _ in range(turns % 4):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return (await engine.achat("on", model=MODEL)).text

    assert asyncio.run(run()) == "on"
    until(lambda: engine.stats()["in_flight"] == 0)


def test_a_cancel_that_comes_with_the_answer_is_a_cancel_or_an_answer(engine: oc.Engine, until: Any) -> None:
    async def run() -> None:
        for delay in range(60):
            task = asyncio.ensure_future(engine.achat("Hi", model=MODEL))
            await asyncio.sleep(delay * 0.00005)
            task.cancel()
            try:
                assert (await task).text == "Hi"
            except asyncio.CancelledError:
                assert task.cancelled()

    asyncio.run(run())
    until(lambda: engine.stats()["in_flight"] == 0)
    assert engine.chat("on", model=MODEL).text == "on"


# ---- streams


def leave_with(stream: Any) -> None:
    with stream:
        next(stream)


def close_it(stream: Any) -> None:
    next(stream)
    stream.close()


def raise_inside(stream: Any) -> None:
    with pytest.raises(LookupError):
        with stream:
            for _ in stream:
                raise LookupError


def throw_into_a_generator(stream: Any) -> None:
    def texts() -> Iterator[str]:
        with stream:
            for delta in stream:
                yield delta.text

    generator = texts()
    assert next(generator) == "one"
    generator.close()


@pytest.mark.parametrize("way", [leave_with, close_it, raise_inside, throw_into_a_generator])
def test_a_stream_that_is_left_closes_its_connection_at_once(
    engine: oc.Engine, way: Any, closes_at_once: AtOnce, hold: Any, until: Any
) -> None:
    hold("in the stream")

    def scenario() -> float:
        stream = engine.stream("Hi", model=MODEL)
        way(stream)
        since = time.monotonic()
        assert stream.partial.text == "one"
        return since

    closes_at_once(scenario)
    check_books(engine, until)


def test_a_stream_that_nobody_holds_closes_its_connection_at_once(
    engine: oc.Engine, upstream: Upstream, point: str, closes_at_once: AtOnce, until: Any
) -> None:
    def drop() -> float:
        for delta in engine.stream("Hi", model=MODEL):
            assert delta.text == "one"
            break
        return time.monotonic()

    def drop_unread() -> float:
        count = len(upstream.questions)
        stream = engine.stream("Hi", model=MODEL)
        upstream.wait_for(count + 1)
        del stream
        return time.monotonic()

    def drop_in_a_cycle() -> float:
        count = len(upstream.questions)
        stream = engine.stream("Hi", model=MODEL)
        upstream.wait_for(count + 1)
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        del stream, cycle
        gc.collect()
        return time.monotonic()

    if point == "in the stream":
        closes_at_once(drop)
    closes_at_once(drop_unread)
    closes_at_once(drop_in_a_cycle)
    check_books(engine, until)


def test_a_stream_closed_by_another_thread_raises_cancelled_in_its_reader(
    engine: oc.Engine, upstream: Upstream, point: str, closes_at_once: AtOnce, until: Any
) -> None:
    def scenario() -> float:
        count, raised = len(upstream.questions), []
        stream = engine.stream("Hi", model=MODEL)

        def read() -> None:
            try:
                for _ in stream:
                    pass
            except BaseException as error:
                raised.append(type(error))

        reader = threading.Thread(target=read)
        reader.start()
        upstream.wait_for(count + 1)
        since = time.monotonic()
        stream.close()
        reader.join(10)
        assert raised == [oc.Cancelled]
        return since

    closes_at_once(scenario)
    check_books(engine, until)


async def leave_async_with(stream: oc.AsyncStream) -> None:
    async with stream:
        await anext(stream)


async def aclose_it(stream: oc.AsyncStream) -> None:
    await anext(stream)
    await stream.aclose()


async def aclose_a_generator(stream: oc.AsyncStream) -> None:
    async def texts() -> AsyncIterator[str]:
        async with stream:
            async for delta in stream:
                yield delta.text

    generator = texts()
    assert await anext(generator) == "one"
    await generator.aclose()  # type: ignore[attr-defined]


async def raise_inside_async(stream: oc.AsyncStream) -> None:
    with pytest.raises(LookupError):
        async with stream:
            async for _ in stream:
                raise LookupError


@pytest.mark.parametrize("way", [leave_async_with, aclose_it, aclose_a_generator, raise_inside_async])
def test_an_async_stream_that_is_left_closes_its_connection_at_once(
    engine: oc.Engine, way: Any, closes_at_once: AtOnce, hold: Any, until: Any
) -> None:
    hold("in the stream")

    async def run() -> float:
        stream = engine.astream("Hi", model=MODEL)
        await way(stream)
        since = time.monotonic()
        assert stream.partial.text == "one"
        return since

    closes_at_once(lambda: asyncio.run(run()))
    check_books(engine, until)


def test_an_async_stream_that_nobody_holds_closes_its_connection_at_once(
    engine: oc.Engine, upstream: Upstream, closes_at_once: AtOnce, hold: Any, until: Any
) -> None:
    hold("in the stream")

    async def until_closed(count: int, since: float) -> float:
        while not upstream.questions[count].closed.is_set():  # the loop must be allowed to finalize the generator
            assert time.monotonic() < since + 10
            await asyncio.sleep(0.001)
        return since

    async def broken_off() -> float:
        count = len(upstream.questions)
        async for _ in engine.astream("Hi", model=MODEL):
            break
        return await until_closed(count, time.monotonic())

    async def dropped() -> float:
        count = len(upstream.questions)
        stream = engine.astream("Hi", model=MODEL)
        await asked(upstream, count + 1)
        del stream
        return await until_closed(count, time.monotonic())

    async def dropped_half_read() -> float:
        count = len(upstream.questions)
        stream = engine.astream("Hi", model=MODEL)
        await anext(stream)
        del stream
        return await until_closed(count, time.monotonic())

    async def user_generator_dropped() -> float:
        count = len(upstream.questions)

        async def texts() -> AsyncIterator[str]:
            async for delta in engine.astream("Hi", model=MODEL):
                yield delta.text

        async for _ in texts():
            break
        return await until_closed(count, time.monotonic())

    for scenario in (broken_off, dropped, dropped_half_read, user_generator_dropped):
        closes_at_once(lambda scenario=scenario: asyncio.run(scenario()))  # type: ignore[misc]
    check_books(engine, until)


# ---- threads and engines


def test_an_engine_that_closes_ends_calls_of_threads_with_cancelled(
    upstream: Upstream, point: str, closes_at_once: AtOnce
) -> None:
    def work(engine: oc.Engine, raised: list[Any]) -> None:
        try:
            if point == "in the stream":
                list(engine.stream("Hi", model=MODEL))
            else:
                engine.chat("Hi", model=MODEL)
        except BaseException as error:
            raised.append(error)

    def scenario() -> float:
        engine, count, raised = upstream.engine(), len(upstream.questions), []
        threads = [threading.Thread(target=work, args=(engine, raised)) for _ in range(4)]
        for thread in threads:
            thread.start()
        upstream.wait_for(count + 4)
        since = time.monotonic()
        engine.close(timeout=0)
        for thread in threads:
            thread.join(10)
        assert [type(error) for error in raised] == [oc.Cancelled] * 4
        assert all(error.attempts[-1].cost.estimated for error in raised)
        return since

    closes_at_once(scenario)


def test_an_engine_that_closes_ends_a_map_with_its_batch(upstream: Upstream, closes_at_once: AtOnce, hold: Any) -> None:
    hold("before any answer")

    def scenario() -> float:
        engine, count, batches = upstream.engine(), len(upstream.questions), []
        mapping = threading.Thread(
            target=lambda: batches.append(engine.map([f"row {i}" for i in range(20)], model=MODEL, concurrency=5))
        )
        mapping.start()
        upstream.wait_for(count + 5)
        since = time.monotonic()
        engine.close(timeout=0)
        mapping.join(10)
        assert len(batches[0]) == 20 and not batches[0].complete
        assert {type(error) for _, error in batches[0].errors} == {oc.Cancelled}
        return since

    closes_at_once(scenario)


# ---- Ctrl-C


@pytest.fixture
def ctrl_c(upstream: Upstream) -> Iterator[Callable[[int], list[float]]]:
    """ctrl_c(count): interrupts this thread once so many more requests have come; gives the moments."""
    threads = []

    def arm(more: int) -> list[float]:
        count, moments, main = len(upstream.questions) + more, [], threading.get_ident()

        def interrupt() -> None:
            upstream.wait_for(count)
            moments.append(time.monotonic())
            signal.pthread_kill(main, signal.SIGINT)

        threads.append(threading.Thread(target=interrupt))
        threads[-1].start()
        return moments

    yield arm
    for thread in threads:
        thread.join(10)


def test_ctrl_c_in_chat_and_stream_closes_the_connection_at_once(
    engine: oc.Engine, point: str, ctrl_c: Any, closes_at_once: AtOnce, until: Any
) -> None:
    def scenario() -> float:
        moments = ctrl_c(1)
        with pytest.raises(KeyboardInterrupt):
            if point == "in the stream":
                for _ in engine.stream("Hi", model=MODEL):
                    pass
            else:
                engine.chat("Hi", model=MODEL)
        return moments[0]

    closes_at_once(scenario)
    check_books(engine, until)


def test_ctrl_c_in_asyncio_run_closes_the_connection_at_once(
    engine: oc.Engine, point: str, ctrl_c: Any, closes_at_once: AtOnce, until: Any
) -> None:
    def scenario() -> float:
        moments = ctrl_c(1)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(ticking(call(engine, point)))
        return moments[0]

    closes_at_once(scenario)
    check_books(engine, until)


def test_ctrl_c_in_map_returns_the_batch_and_closes_every_connection_at_once(
    engine: oc.Engine, ctrl_c: Any, closes_at_once: AtOnce, hold: Any, until: Any
) -> None:
    hold("before any answer")

    def scenario() -> float:
        moments = ctrl_c(8)
        batch = engine.map([f"row {i}" for i in range(30)], model=MODEL, concurrency=8)
        assert len(batch) == 30 and not batch.complete and not batch.ok
        assert {type(error) for _, error in batch.errors} == {oc.Cancelled}
        return moments[0]

    closes_at_once(scenario)
    check_books(engine, until)


def test_an_exception_of_a_signal_handler_passes_through_chat_and_closes_the_connection(
    engine: oc.Engine, upstream: Upstream, closes_at_once: AtOnce, hold: Any
) -> None:
    hold("before any answer")

    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    def scenario() -> float:
        main, count = threading.get_ident(), len(upstream.questions)

        def kick() -> None:
            upstream.wait_for(count + 1)
            signal.pthread_kill(main, signal.SIGUSR1)

        kicker = threading.Thread(target=kick)
        kicker.start()
        with pytest.raises(Alarm):
            engine.chat("Hi", model=MODEL)
        since = time.monotonic()
        kicker.join()
        return since

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        closes_at_once(scenario)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_that_returns_lets_the_call_go_on(engine: oc.Engine, upstream: Upstream, hold: Any) -> None:
    hold("before any answer")
    rung = []
    main = threading.get_ident()

    def kick() -> None:
        question = upstream.wait_for(1)[0]
        signal.pthread_kill(main, signal.SIGUSR1)
        while not rung:
            time.sleep(0.001)
        body = b'{"choices": [{"index": 0, "message": {"content": "on"}, "finish_reason": "stop"}]}'
        question.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    before = signal.signal(signal.SIGUSR1, lambda *_: rung.append(1))
    kicker = threading.Thread(target=kick)
    kicker.start()
    try:
        assert engine.chat("Hi", model=MODEL).text == "on" and rung
    finally:
        kicker.join()
        signal.signal(signal.SIGUSR1, before)
