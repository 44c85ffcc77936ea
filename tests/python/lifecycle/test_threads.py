"""Storms of threads on one engine: every caller gets its own answer."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Upstream

MODEL = "up/m-1"


@pytest.fixture
def engine(upstream: Upstream) -> Iterator[oc.Engine]:
    with upstream.engine() as made:
        yield made
        made.close(0)


def test_sixty_four_threads_with_fifty_calls_each(engine: oc.Engine, upstream: Upstream) -> None:
    def work(thread: int) -> list[str]:
        return [engine.chat(f"{thread}/{i}", model=MODEL).text for i in range(50)]

    with ThreadPoolExecutor(64) as pool:
        results = list(pool.map(work, range(64)))
    assert results == [[f"{thread}/{i}" for i in range(50)] for thread in range(64)]
    assert len(upstream.questions) == 64 * 50
    assert engine.stats()["calls"] == 64 * 50 and engine.stats()["in_flight"] == 0


def test_every_form_at_once(engine: oc.Engine) -> None:
    def chat(name: str) -> bool:
        return all(engine.chat(f"{name}{i}", model=MODEL).text == f"{name}{i}" for i in range(30))

    def stream(name: str) -> bool:
        return all(
            "".join(delta.text for delta in engine.stream(f"{name} {i} end", model=MODEL)) == f"{name}{i}end"
            for i in range(30)
        )

    def rows(name: str) -> bool:
        inputs = [f"{name}{i}" for i in range(100)]
        return [row.text for row in engine.map(inputs, model=MODEL, concurrency=7).ok] == inputs

    def loop(name: str) -> bool:
        async def run() -> list[str]:
            one = [(await engine.achat(f"{name}{i}", model=MODEL)).text for i in range(10)]
            parts = [delta.text async for delta in engine.astream(f"{name} end", model=MODEL)]
            return [*one, "".join(parts)]

        return asyncio.run(run()) == [*(f"{name}{i}" for i in range(10)), f"{name}end"]

    forms = [chat, stream, rows, loop] * 4
    with ThreadPoolExecutor(len(forms)) as pool:
        assert all(pool.map(lambda numbered: numbered[1](f"t{numbered[0]}-"), enumerate(forms)))


def test_threads_that_come_and_go(engine: oc.Engine) -> None:
    answers: list[str] = []
    for turn in range(100):
        threads = [
            threading.Thread(target=lambda i=i: answers.append(engine.chat(f"{i}", model=MODEL).text))
            for i in range(turn * 4, turn * 4 + 4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(answers, key=int) == [str(i) for i in range(400)]


def test_updates_amid_calls_lose_none(engine: oc.Engine, upstream: Upstream) -> None:
    stop = threading.Event()

    def update() -> int:
        count = 0
        while not stop.is_set():
            engine.update(providers=[upstream.provider(headers={"x-turn": str(count)})])
            count += 1
        return count

    with ThreadPoolExecutor(9) as pool:
        updates = pool.submit(update)
        results = list(pool.map(lambda i: engine.chat(f"{i}", model=MODEL).text, range(400)))
        stop.set()
        assert updates.result(20) > 1
    assert results == [f"{i}" for i in range(400)]


def test_close_amid_calls_ends_each_with_an_answer_or_an_error(upstream: Upstream) -> None:
    for _ in range(10):
        engine, ends = upstream.engine(), []

        def work(engine: oc.Engine = engine, ends: list[str] = ends) -> None:
            while True:
                try:
                    assert engine.chat("Hi", model=MODEL).text == "Hi"
                except (RuntimeError, oc.Cancelled) as error:
                    ends.append(type(error).__name__)
                    return

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        while engine.stats()["calls"] < 20:
            os.sched_yield()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(engine.close, [0, 0.01, 5, 0]))
        for thread in threads:
            thread.join(10)
        assert len(ends) == 8 and set(ends) <= {"RuntimeError", "Cancelled"}


def test_one_stream_read_by_many_threads_neither_crashes_nor_doubles(script: Any) -> None:
    """A Stream belongs to one consumer; who breaks that gets any share of the deltas, each once, and may wait on."""
    ended = script("""
words = [f"w{i}" for i in range(300)]
stream, seen = engine.stream(" ".join(words), model=MODEL), []
def read():
    try:
        for delta in stream:
            seen.append(delta.text)
    except (RuntimeError, oc.OrchestraError):
        pass
threads = [thread(read) for _ in range(4)]
until(lambda: not all(one.is_alive() for one in threads))
stream.close()
taken = [text for text in list(seen) if text]
say(len(taken) == len(set(taken)), set(taken) <= set(words))
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "True True\n", "")


def test_a_stack_as_small_as_a_thread_may_have_is_enough(engine: oc.Engine) -> None:
    before = threading.stack_size(256 * 1024)
    try:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(engine.chat("Hi", model=MODEL).text))
        thread.start()
        thread.join(10)
        assert answers == ["Hi"]
    finally:
        threading.stack_size(before)


def test_an_engine_used_first_by_many_threads_at_once_starts_once(upstream: Upstream) -> None:
    for _ in range(20):
        engine, barrier = upstream.engine(api_key=lambda: "k"), threading.Barrier(8)

        def first(i: int, engine: oc.Engine = engine, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            return engine.chat(f"{i}", model=MODEL).text

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(first, range(8))) == [f"{i}" for i in range(8)]
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("orchestra-keys") <= 1
        engine.close()
