"""map and amap: rows in input order, errors in place, resume, and a stop that keeps what is done."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestra as oc
from orchestra.testing import FakeProviders, Fault

MODEL = "openai-chat/fake-1"
Until = Callable[[Callable[[], object]], None]


def asked(fake: FakeProviders) -> list[str]:
    return [request.body["messages"][-1]["content"] for request in fake.requests]


def texts(batch: oc.Batch) -> list[str]:
    return [type(row).__name__ if isinstance(row, oc.OrchestraError) else row.text for row in batch]


@pytest.fixture(params=["map", "amap"])
def run(request: pytest.FixtureRequest, engine: oc.Engine) -> Callable[..., oc.Batch]:
    """Both forms, called alike."""

    def call(inputs: Any, **keywords: Any) -> oc.Batch:
        keywords.setdefault("model", MODEL)
        keywords.setdefault("progress", False)
        if request.param == "map":
            return engine.map(inputs, **keywords)
        return asyncio.run(engine.amap(inputs, **keywords))

    return call


def test_rows_come_in_the_order_of_the_inputs(run: Callable[..., oc.Batch], fake: FakeProviders) -> None:
    batch = run((f"question {number}" for number in range(100)), concurrency=16)
    assert len(batch) == len(batch.ok) == 100
    assert batch.complete
    assert batch.errors == []
    assert sorted(asked(fake)) == sorted(f"question {number}" for number in range(100))
    again = run(f"question {number}" for number in reversed(range(100)))
    assert texts(again) == texts(batch)[::-1]  # the same question has the same made-up answer


def test_no_inputs_give_an_empty_batch(run: Callable[..., oc.Batch]) -> None:
    batch = run([])
    assert (len(batch), batch.complete, batch.cost.nano_usd) == (0, True, 0)


def test_a_row_may_override_the_keywords(run: Callable[..., oc.Batch], fake: FakeProviders) -> None:
    rows = [
        {"messages": "other model", "model": "anthropic-messages/fake-1"},
        {"messages": [{"role": "user", "content": "warm"}], "temperature": 1},
        {"role": "user", "content": "a message"},
    ]
    batch = run(rows, temperature=0, concurrency=1)
    assert [row.model for row in batch.ok] == ["anthropic-messages/fake-1", MODEL, MODEL]
    assert [request.body["temperature"] for request in fake.requests] == [0, 1, 0]


def test_an_error_stands_in_its_row_and_ends_nothing(run: Callable[..., oc.Batch], fake: FakeProviders) -> None:
    fake.script(["one", Fault.status(401), "three"])
    rows = ["1", "2", {"messages": "3", "tempurature": 1}, {"messages": 4}, {"messages": "5", "model": "nobody/x"}, "6"]
    batch = run(rows, concurrency=1)
    assert texts(batch) == ["one", "AuthenticationError", "InvalidRequest", "InvalidRequest", "InvalidRequest", "three"]
    assert [index for index, _ in batch.errors] == [1, 2, 3, 4]
    assert batch.complete


def test_no_more_rows_are_open_than_asked_for(
    run: Callable[..., oc.Batch], engine: oc.Engine, fake: FakeProviders
) -> None:
    fake.script([Fault.stall(seconds=0.02)] * 9)
    open_before = []

    def inputs() -> Iterator[str]:
        for number in range(40):
            open_before.append(engine.stats()["in_flight"])
            yield str(number)

    assert len(run(inputs(), concurrency=3)) == 40
    assert max(open_before) == 2


def test_inputs_that_raise_end_the_map_with_that_exception(
    run: Callable[..., oc.Batch], engine: oc.Engine, fake: FakeProviders, until: Until
) -> None:
    fake.script([Fault.stall(seconds=30)])

    def inputs() -> Iterator[str]:
        yield "one"
        until(lambda: fake.requests)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        run(inputs())
    until(lambda: fake.requests[0].closed_at is not None)
    until(lambda: engine.stats()["in_flight"] == 0)


@pytest.mark.parametrize(
    ("inputs", "keywords", "words"),
    [
        ("Hi", {}, "inputs"),
        ({"messages": "Hi"}, {}, "inputs"),
        (5, {}, "inputs"),
        (["Hi"], {"concurrency": 0}, "concurrency"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_sent(
    run: Callable[..., oc.Batch], fake: FakeProviders, inputs: Any, keywords: dict[str, Any], words: str
) -> None:
    with pytest.raises(oc.InvalidRequest, match=words):
        run(inputs, **keywords)
    assert fake.requests == []


def test_the_cost_is_the_sum_over_the_rows(fake: FakeProviders) -> None:
    fake.script([{"text": "Hi", "usage": {"input_tokens": 1000, "output_tokens": 0}}] * 3)
    with fake.engine(models=[oc.Model(MODEL, input_price=1, output_price=1)]) as engine:
        batch = engine.map(["a", "b", "c"], model=MODEL, progress=False)
    assert batch.cost.nano_usd == 3_000_000


def test_rows_count_as_calls(run: Callable[..., oc.Batch], engine: oc.Engine) -> None:
    run(["a", "b", "c"])
    assert engine.stats()["calls"] == 3


def test_rows_are_parsed_as_asked(run: Callable[..., oc.Batch], fake: FakeProviders) -> None:
    fake.script(['{"a": 1}', '{"a": 2}'])
    batch = run(["1", "2"], response_format={"type": "json_object"}, concurrency=1)
    assert [row.parsed for row in batch.ok] == [{"a": 1}, {"a": 2}]


# ---- stop


def test_the_first_interrupt_returns_what_is_done(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script(["one", Fault.stall(seconds=30), Fault.stall(seconds=30)])

    def interrupt() -> None:
        until(lambda: len(fake.requests) == 3)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    batch = engine.map(["1", "2", "3", "4"], model=MODEL, concurrency=2, progress=False)
    interrupting.join()
    assert texts(batch) == ["one", "Cancelled", "Cancelled", "Cancelled"]
    assert not batch.complete
    until(lambda: fake.requests[2].closed_at is not None)
    assert engine.chat("Hi", model=MODEL).text


def test_a_closed_engine_ends_the_map(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script(["one", Fault.stall(seconds=30)])

    def close() -> None:
        until(lambda: len(fake.requests) == 2)
        engine.close(timeout=0)

    closing = threading.Thread(target=close)
    closing.start()
    batch = engine.map(["1", "2", "3"], model=MODEL, concurrency=1, progress=False)
    closing.join()
    assert texts(batch) == ["one", "Cancelled", "Cancelled"]
    assert not batch.complete


def test_a_cancelled_task_closes_the_open_rows(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([Fault.stall(seconds=30)] * 2)

    async def cancel() -> None:
        task = asyncio.create_task(engine.amap(["1", "2"], model=MODEL, progress=False))
        while len(fake.requests) < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    until(lambda: all(request.closed_at is not None for request in fake.requests))


def test_a_loop_goes_on_beside_an_amap(engine: oc.Engine, fake: FakeProviders) -> None:
    async def both() -> tuple[oc.Batch, oc.Reply]:
        rows = engine.amap([str(number) for number in range(50)], model=MODEL, progress=False)
        return await asyncio.gather(rows, engine.achat("Hi", model=MODEL))

    batch, reply = asyncio.run(both())
    assert len(batch.ok) == 50
    assert reply.text


# ---- resume


def test_what_is_finished_is_not_asked_again(run: Callable[..., oc.Batch], fake: FakeProviders, tmp_path: Path) -> None:
    path = tmp_path / "done.jsonl"
    fake.script(["one", Fault.status(401), "three"])
    first = run(["1", "2", "3"], resume=path, concurrency=1)
    assert texts(first) == ["one", "AuthenticationError", "three"]
    fake.script(["two"])
    second = run(["3", "2", "1"], resume=str(path), concurrency=1)
    assert texts(second) == ["three", "two", "one"]
    assert asked(fake) == ["1", "2", "3", "2"]
    for before, after in ((first[0], second[2]), (first[2], second[0])):
        assert isinstance(before, oc.Reply)
        assert isinstance(after, oc.Reply)
        for field in ("text", "message", "model", "finish_reason", "raw", "latency", "headers"):
            assert getattr(before, field) == getattr(after, field), field
        assert before.usage.total_tokens == after.usage.total_tokens
        assert len(after.attempts) == 1


def test_another_question_is_another_row(run: Callable[..., oc.Batch], fake: FakeProviders, tmp_path: Path) -> None:
    path = tmp_path / "done.jsonl"
    run(["1"], resume=path)
    run(["1"], resume=path, temperature=0.5)
    run([{"messages": [{"role": "user", "content": "1"}], "model": [MODEL]}], resume=path)
    assert len(fake.requests) == 2


def test_a_file_of_another_format_is_refused(run: Callable[..., oc.Batch], fake: FakeProviders, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(oc.ConfigError, match=r"notes\.txt"):
        run(["1"], resume=path)
    assert path.read_text() == "my notes\n"
    assert fake.requests == []
