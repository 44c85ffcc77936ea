"""Streams, plain and asynchronous: deltas in order, one reply, and a connection that ends with the stream."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import orchestra as oc
from orchestra.testing import FakeProviders, Fault

MODEL = "openai-chat/fake-1"
STALLED = Fault.stall(1, seconds=30)
Until = Callable[[Callable[[], object]], None]


def text_of(deltas: list[oc.Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def is_closed(fake: FakeProviders, number: int = 0) -> bool:
    return len(fake.requests) > number and fake.requests[number].closed_at is not None


async def all_of(stream: oc.AsyncStream) -> list[oc.Delta]:
    return [delta async for delta in stream]


# ---- deltas and reply


def test_the_deltas_are_the_text_of_the_reply(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script(["Grüße aus Zürich 🙂 an alle"])
    with engine.stream("Hi", model=f"{protocol}/fake-1") as stream:
        deltas = list(stream)
    reply = stream.reply()
    assert text_of(deltas) == reply.text == "Grüße aus Zürich 🙂 an alle"
    assert len(deltas) > 2
    assert fake.requests[0].body["stream"] is True
    assert (reply.model, reply.finish_reason) == (f"{protocol}/fake-1", "stop")


def test_only_the_last_delta_has_finish_reason_and_usage(engine: oc.Engine, protocol: str) -> None:
    *before, last = engine.stream("Hi", model=f"{protocol}/fake-1")
    assert all(delta.finish_reason is None and delta.usage is None for delta in before)
    assert last.finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.total_tokens
    assert {delta.attempt for delta in [*before, last]} == {1}


def test_an_async_stream_gives_the_same_deltas(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script(["one two three"] * 2)
    model = f"{protocol}/fake-1"

    async def read() -> tuple[list[oc.Delta], oc.Reply]:
        async with engine.astream("Hi", model=model) as stream:
            return await all_of(stream), stream.reply()

    deltas, reply = asyncio.run(read())
    assert [delta.text for delta in deltas] == [delta.text for delta in engine.stream("Hi", model=model)]
    assert reply.text == "one two three"


def test_many_streams_of_one_loop_run_at_once(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(["one two three"] * 30)

    async def read() -> list[list[oc.Delta]]:
        return await asyncio.gather(*(all_of(engine.astream("Hi", model=MODEL)) for _ in range(30)))

    assert [text_of(deltas) for deltas in asyncio.run(read())] == ["one two three"] * 30


def test_reasoning_comes_apart_from_the_text(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script([{"reasoning": "Let me see.", "text": "Yes."}])
    stream = engine.stream("Hi", model=f"{protocol}/fake-1")
    deltas = list(stream)
    assert "".join(delta.reasoning for delta in deltas) == stream.reply().reasoning == "Let me see."
    assert text_of(deltas) == stream.reply().text == "Yes."


def test_fragments_of_tool_calls_join_to_the_calls(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    calls = [{"id": "c1", "name": "add", "arguments": {"a": 1}}, {"id": "c2", "name": "sub", "arguments": {"b": "ü"}}]
    fake.script([{"tool_calls": calls}])
    stream = engine.stream("Hi", model=f"{protocol}/fake-1")
    fragments = [delta.tool_call for delta in stream if delta.tool_call is not None]
    assert [(fragment.id, fragment.name) for fragment in fragments if fragment.id] == [("c1", "add"), ("c2", "sub")]
    for index, call in enumerate(stream.reply().tool_calls):
        assert call.arguments == calls[index]["arguments"]
        joined = "".join(fragment.arguments_json for fragment in fragments if fragment.index == index)
        assert joined == call.arguments_json
    assert stream.reply().finish_reason == "tool_calls"


@pytest.mark.parametrize("fault", [Fault.drip(1), Fault.duplicate_event()])
def test_a_slow_or_repeating_provider_changes_nothing(
    engine: oc.Engine, fake: FakeProviders, protocol: str, fault: Fault
) -> None:
    fake.script([fault, "Grüße"])
    model = f"{protocol}/fake-1"
    stream = engine.stream("Hi", model=model)
    assert text_of(list(stream)) == stream.reply().text
    assert stream.reply().finish_reason == "stop"


def test_a_long_text_comes_whole_to_a_reader_that_was_behind(engine: oc.Engine, fake: FakeProviders) -> None:
    text = " ".join(str(number) for number in range(60_000))
    fake.script([text])
    stream = engine.stream("Hi", model=MODEL)
    next(stream)
    engine.chat("in between", model=MODEL)
    list(stream)
    assert stream.reply().text == text


# ---- before the end


def test_there_is_no_reply_before_the_end_but_a_partial_one(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([STALLED])
    with engine.stream("Hi", model=MODEL) as stream:
        first = next(stream)
        with pytest.raises(RuntimeError, match="not ended"):
            stream.reply()
        assert stream.partial.text == first.text
        assert stream.partial.finish_reason is None


def test_there_is_no_reply_after_close_but_a_partial_one(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([STALLED])
    stream = engine.stream("Hi", model=MODEL)
    first = next(stream)
    stream.close()
    stream.close()
    with pytest.raises(RuntimeError, match="closed"):
        stream.reply()
    assert stream.partial.text == first.text
    assert list(stream) == []


def test_a_stream_that_ended_unread_has_its_text_as_partial(
    engine: oc.Engine, fake: FakeProviders, until: Until
) -> None:
    fake.script(["one two three"])
    stream = engine.stream("Hi", model=MODEL)
    until(lambda: engine.stats()["in_flight"] == 0)
    assert stream.partial.text == "one two three"
    assert text_of(list(stream)) == "one two three"


def test_nothing_is_lost_by_close_after_the_end(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(["one two"])
    stream = engine.stream("Hi", model=MODEL)
    list(stream)
    stream.close()
    assert stream.reply().text == "one two"


# ---- errors


def test_a_wrong_keyword_is_told_by_the_call_itself(engine: oc.Engine) -> None:
    with pytest.raises(oc.InvalidRequest, match="temperature"):
        engine.stream("Hi", model=MODEL, temperature=-1)


def test_an_error_of_the_provider_is_raised_by_the_first_next_and_by_reply(
    engine: oc.Engine, fake: FakeProviders, protocol: str
) -> None:
    fake.script([Fault.status(401)])
    stream = engine.stream("Hi", model=f"{protocol}/fake-1")
    with pytest.raises(oc.AuthenticationError) as first:
        next(stream)
    with pytest.raises(oc.AuthenticationError) as second:
        stream.reply()
    assert first.value is second.value


def test_what_failed_before_the_first_delta_is_tried_again(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([Fault.status(503), "Here."])
    stream = engine.stream("Hi", model=MODEL)
    assert {delta.attempt for delta in stream} == {2}
    assert len(stream.reply().attempts) == 2


def test_what_breaks_after_the_first_delta_is_interrupted_with_what_came(
    engine: oc.Engine, fake: FakeProviders, protocol: str
) -> None:
    fake.script([Fault.cut(2)])
    stream = engine.stream("Hi", model=f"{protocol}/fake-1")
    with pytest.raises(oc.Interrupted) as caught:
        list(stream)
    error = caught.value
    assert error.partial.text
    assert error.partial.finish_reason is None
    assert stream.partial.text == error.partial.text
    assert len(fake.requests) == 1
    with pytest.raises(oc.Interrupted):
        stream.reply()


def test_an_async_stream_raises_what_a_plain_one_does(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([Fault.status(401), Fault.cut(2)])

    async def read(kind: type[oc.OrchestraError]) -> None:
        stream = engine.astream("Hi", model=MODEL)
        with pytest.raises(kind):
            await all_of(stream)
        with pytest.raises(kind):
            stream.reply()

    asyncio.run(read(oc.AuthenticationError))
    asyncio.run(read(oc.Interrupted))


def test_an_async_stream_wants_a_running_loop(engine: oc.Engine) -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        engine.astream("Hi", model=MODEL)


# ---- the connection


def test_leaving_the_with_closes_the_connection(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([STALLED])
    with engine.stream("Hi", model=MODEL) as stream:
        next(stream)
        assert not is_closed(fake)
    until(lambda: is_closed(fake))
    until(lambda: engine.stats()["in_flight"] == 0)


def test_a_stream_that_nobody_holds_closes_its_connection(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([STALLED])
    stream = engine.stream("Hi", model=MODEL)
    next(stream)
    del stream
    gc.collect()
    until(lambda: is_closed(fake))


def test_leaving_the_async_with_closes_the_connection(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([STALLED])

    async def read() -> None:
        async with engine.astream("Hi", model=MODEL) as stream:
            await anext(stream)

    asyncio.run(read())
    until(lambda: is_closed(fake))


def test_aclose_ends_an_async_stream(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([STALLED])

    async def read() -> None:
        stream = engine.astream("Hi", model=MODEL)
        await anext(stream)
        await stream.aclose()
        assert await all_of(stream) == []
        with pytest.raises(RuntimeError, match="closed"):
            stream.reply()

    asyncio.run(read())
    until(lambda: is_closed(fake))


def test_a_cancelled_task_closes_the_connection_of_its_stream(
    engine: oc.Engine, fake: FakeProviders, until: Until
) -> None:
    fake.script([STALLED])

    async def cancel() -> None:
        came = asyncio.Event()

        async def read() -> None:
            async for _ in engine.astream("Hi", model=MODEL):
                came.set()

        task = asyncio.create_task(read())
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    until(lambda: is_closed(fake))


def test_a_reader_whose_stream_another_thread_closes_gets_cancelled(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([STALLED])
    stream = engine.stream("Hi", model=MODEL)
    next(stream)
    closing = threading.Thread(target=stream.close)
    closing.start()
    with pytest.raises(oc.Cancelled):
        list(stream)
    closing.join()


def test_closing_the_engine_ends_its_streams(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([STALLED])
    stream = engine.stream("Hi", model=MODEL)
    next(stream)
    engine.close(timeout=0)
    with pytest.raises(oc.Cancelled):
        list(stream)
    until(lambda: is_closed(fake))


def test_repr_tells_the_state(engine: oc.Engine, fake: FakeProviders) -> None:
    stream: Any = engine.stream("Hi", model=MODEL)
    list(stream)
    assert repr(stream) == "<Stream ended>"
    fake.script([STALLED])
    stream = engine.stream("Hi", model=MODEL)
    next(stream)
    assert repr(stream) == "<Stream running>"
    stream.close()
    assert repr(stream) == "<Stream closed>"
