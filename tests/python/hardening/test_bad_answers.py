"""Whatever bytes a provider sends, the answer is a reply or a typed error: no crash, no hang, memory bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc
from orchestra import wire

if TYPE_CHECKING:
    from .conftest import Canned

MODEL = "up/m-1"
MB = 2**20
Ask = Callable[..., Any]
ONCE = {"retry": oc.Retry(attempts=1), "timeout": oc.Timeout(total=10, first_token=3, idle=2)}


def body(**more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    return {"id": "c", "model": "m-1", "choices": [choice], **more}


def answer(data: bytes, *headers: str, kind: str = "application/json") -> bytes:
    lines = ["HTTP/1.1 200 OK", f"content-type: {kind}", f"content-length: {len(data)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


def stream(*events: Any) -> bytes:
    data = b"".join(
        event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n" for event in events
    )
    return answer(data, kind="text/event-stream")


def delta(content: Any = "ok", **more: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "model": "m-1",
        "choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": None}],
    }


OK = json.dumps(body()).encode()
DATA = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": None}]}).encode()
STOP = {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
DONE = b"data: [DONE]\n\n"


def outcome(ask: Ask, **options: Any) -> Any:
    """The reply, all of it read, or the typed error."""
    try:
        reply = ask("Hi", **(ONCE | options))
    except oc.OrchestraError as error:
        assert 1 < len(str(error)) < 2000, repr(error)
        str(error).encode()
        repr(error), repr(error.attempts), error.body
        return error
    look_at(reply)
    return reply


FIELDS = (
    "text refusal reasoning message tool_calls choices logprobs finish_reason finish_reason_raw usage cost model"
    " served_model headers raw body attempts"
).split()


def look_at(reply: Any) -> None:
    """Nothing that is read from a body when it is asked for may raise."""
    for name in FIELDS:
        value = getattr(reply, name)
        repr(value)
    reply.text.encode()
    for call in reply.tool_calls:
        call.arguments
    json.dumps(reply.message)
    assert isinstance(reply.raw, dict)
    for name in ("input_tokens", "output_tokens", "total_tokens", "raw"):
        getattr(reply.usage, name)


# ---- limits, at the limit and one above


def limited(what: Any, *limits: str) -> None:
    """A ProtocolError that names the limit, by its name or its value."""
    assert isinstance(what, oc.ProtocolError), repr(what)
    assert any(limit in str(what) for limit in limits), str(what)


@pytest.mark.parametrize(("length", "fits"), [(8 * MB, True), (8 * MB + 1, False)])
def test_a_line_of_a_stream_has_8_mb(ask_two: Ask, canned: Canned, length: int, fits: bool) -> None:
    event = json.dumps(delta("")).encode()
    padded = b"data: " + event[:-1] + b" " * (length - len(b"data: ") - len(event)) + b"}\n\n"
    canned.say = lambda request: stream(padded, delta("ok"), STOP, DONE)
    what = outcome(ask_two)
    if fits:
        assert what.text == "ok"
    else:
        limited(what, "8 MB", "8388608")


def test_an_event_has_16_mb(ask_two: Ask, canned: Canned) -> None:
    lines = b"".join(b"data: " + b" " * (4 * MB) + b"\n" for _ in range(5))
    canned.say = lambda request: stream(b"data: {\n" + lines + b"data: }\n\n", DONE)
    limited(outcome(ask_two), "16 MB", "16777216")


@pytest.mark.parametrize(("calls", "fits"), [(256, True), (257, False)])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_reply_has_256_tool_calls(ask_two: Ask, canned: Canned, calls: int, fits: bool, streamed: bool) -> None:
    made = [
        {"index": i, "id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for i in range(calls)
    ]
    if streamed:
        canned.say = lambda request: stream(*(delta(None, tool_calls=[one]) for one in made), STOP, DONE)
    else:
        message = {"role": "assistant", "content": None, "tool_calls": made}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        canned.say = lambda request: answer(json.dumps(body(choices=[choice])).encode())
    what = outcome(ask_two)
    if fits:
        assert len(what.tool_calls) == 256
    else:
        limited(what, "256")


@pytest.mark.parametrize(("levels", "fits"), [(128, True), (129, False), (10_000, False), (1_000_000, False)])
@pytest.mark.parametrize("streamed", [False, True])
def test_json_has_128_levels(ask_two: Ask, canned: Canned, levels: int, fits: bool, streamed: bool) -> None:
    inner = b'"x": ' + b"[" * (levels - 1) + b"]" * (levels - 1)
    if streamed:
        event = b"data: {" + inner + b", " + json.dumps(delta("ok")).encode()[1:] + b"\n\n"
        canned.say = lambda request: stream(event, STOP, DONE)
    else:
        canned.say = lambda request: answer(b"{" + inner + b", " + json.dumps(body()).encode()[1:])
    what = outcome(ask_two)
    if fits:
        assert what.text == "ok"
    else:
        limited(what, "128")


def test_arguments_of_a_tool_that_are_deep_are_none(ask_two: Ask, canned: Canned) -> None:
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":' * 100_000 + "1" + "}" * 100_000},
    }
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    canned.say = lambda request: answer(json.dumps(body(choices=[choice])).encode())
    what = outcome(ask_two)
    assert isinstance(what, oc.ProtocolError) or what.tool_calls[0].arguments is None


# ---- JSON that is none, or not what was promised


def packed(**more: Any) -> bytes:
    return json.dumps(body(**more)).encode()


def message(**parts: Any) -> list[Any]:
    """Choices whose one message has these parts."""
    return [{"index": 0, "message": parts, "finish_reason": "stop"}]


BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "error"),
    "a NUL": (b"\0", "error"),
    "a list": (b"[]", "error"),
    "a text": (b'"ok"', "error"),
    "null": (b"null", "error"),
    "a BOM": (b"\xef\xbb\xbf" + OK, "any"),
    "UTF-16": (OK.decode().encode("utf-16"), "error"),
    "two values": (OK + OK, "error"),
    "a comment": (b"// x\n" + OK, "error"),
    "a comma too many": (OK[:-1] + b",}", "error"),
    "single quotes": (OK.replace(b'"', b"'"), "error"),
    "a control character in a text": (OK.replace(b'"ok"', b'"o\x01k"'), "error"),
    "invalid UTF-8 in a text": (OK.replace(b'"ok"', b'"o\xffk"'), "error"),
    "overlong UTF-8": (OK.replace(b'"ok"', b'"o\xc0\xafk"'), "error"),
    "a surrogate in UTF-8": (OK.replace(b'"ok"', b'"o\xed\xa0\x80k"'), "error"),
    "an escape that is none": (OK.replace(b'"ok"', b'"o\\xk"'), "error"),
    "half an escape": (OK.replace(b'"ok"', b'"o\\u12k"'), "error"),
    "NaN": (packed(x=float("nan")), "error"),
    "Infinity": (packed(x=float("-inf")), "error"),
    "1e999": (OK[:-1] + b', "x": 1e999}', "any"),
    "a huge int": (OK[:-1] + b', "x": ' + b"9" * 5000 + b"}", "any"),
    "a leading zero": (OK[:-1] + b', "x": 01}', "error"),
    "a plus": (OK[:-1] + b', "x": +1}', "error"),
    "hex": (OK[:-1] + b', "x": 0x10}', "error"),
    "a key twice": (b'{"choices": [],' + OK[1:], "any"),
    "a key of a number": (b"{1: 2," + OK[1:], "error"),
    "no choices": (b'{"model": "m"}', "error"),
    "choices of a dict": (packed(choices={}), "error"),
    "choices of a number": (packed(choices=7), "error"),
    "no choice": (packed(choices=[]), "error"),
    "a choice of null": (packed(choices=[None]), "error"),
    "a message of a text": (packed(choices=[{"message": "ok"}]), "error"),
    "a content of a number": (packed(choices=message(content=7)), "any"),
    "a content of numbers": (packed(choices=message(content=[1, None, {"text": 7}])), "any"),
    "tool calls of texts": (packed(choices=message(content=None, tool_calls=["x", None, 7, {}])), "any"),
    "tool calls of a dict": (packed(choices=message(content=None, tool_calls={"a": 1})), "any"),
    "arguments of a dict": (
        packed(choices=message(tool_calls=[{"id": 7, "function": {"name": None, "arguments": {"a": 1}}}])),
        "any",
    ),
    "a finish of a number": (packed(choices=[{"message": {"content": "ok"}, "finish_reason": 7}]), "any"),
    "an index of a text": (
        packed(choices=[{"index": "x", "message": {"content": "ok"}, "finish_reason": "stop"}]),
        "any",
    ),
    "a huge index": (packed(choices=[{"index": 10**30, "message": {"content": "ok"}, "finish_reason": "stop"}]), "any"),
    "a model of a list": (packed(model=[1]), "any"),
    "usage of a text": (packed(usage="x"), "any"),
    "usage of texts": (packed(usage={"prompt_tokens": "7", "completion_tokens": None}), "any"),
    "negative usage": (packed(usage={"prompt_tokens": -7, "completion_tokens": -(2**63)}), "any"),
    "huge usage": (packed(usage={"prompt_tokens": 10**30, "completion_tokens": 2**63}), "any"),
    "most usage": (packed(usage={"prompt_tokens": 2**63 - 1, "completion_tokens": 2**63 - 1}), "any"),
    "usage of fractions": (packed(usage={"prompt_tokens": 1.5, "completion_tokens": 1e300}), "any"),
    "an error of a text": (b'{"error": "no"}', "error"),
    "an error of null": (packed(error=None), "any"),
    "an error of a list": (b'{"error": [1, 2]}', "error"),
    "an error of odd parts": (b'{"error": {"message": {"a": 1}, "code": [], "type": 7, "param": {}}}', "error"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_odd_is_a_reply_that_can_be_read_or_a_typed_error(
    ask_two: Ask, canned: Canned, case: str
) -> None:
    data, expected = BODIES[case]
    canned.say = lambda request: answer(data)
    what = outcome(ask_two)
    assert isinstance(what, oc.OrchestraError) or expected == "any", repr(what)


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("protocol", ["openai-chat", "anthropic-messages"])
def test_an_odd_body_is_the_same_offline(protocol: str, case: str) -> None:
    for status in (200, 400, 500):
        try:
            look_at(wire.decode_reply(protocol, BODIES[case][0], status=status))
        except oc.OrchestraError as error:
            assert str(error)


def test_negative_and_huge_usage_is_unknown_and_never_a_wrong_cost(engine: oc.Engine, canned: Canned) -> None:
    engine.update(models=[oc.Model(MODEL, input_price=1000, output_price=1000)])
    for counts in (
        {"prompt_tokens": -7},
        {"prompt_tokens": 10**30},
        {"prompt_tokens": 2**63 - 1},
        {"prompt_tokens": 1.5},
    ):
        usage = {"completion_tokens": 1} | counts
        canned.say = lambda request, usage=usage: answer(json.dumps(body(usage=usage)).encode())  # type: ignore[misc]
        what = outcome(lambda text, **options: engine.chat(text, model=MODEL, **options))
        if isinstance(what, oc.OrchestraError):
            continue
        tokens, cost = what.usage.input_tokens, what.cost
        assert tokens is None or tokens >= 0, counts
        assert cost.nano_usd is None or cost.nano_usd >= 0, (counts, cost)
        assert cost.estimated or not cost.known or tokens == counts["prompt_tokens"], (counts, cost)
    assert engine.stats()["cost"].at_least_usd >= 0


# ---- streams


STREAMS: dict[str, tuple[bytes, str]] = {
    "nothing": (stream(), "error"),
    "only the end": (stream(DONE), "error"),
    "no end": (stream(delta()), "error"),
    "no finish": (stream(delta(), DONE), "error"),
    "no JSON": (stream(b"data: {nonsense\n\n", delta(), STOP, DONE), "error"),
    "half a line": (stream(delta(), b'data: {"choices": [{"delta'), "error"),
    "a list": (stream([1], delta(), STOP, DONE), "any"),
    "a number": (stream(7, delta(), STOP, DONE), "any"),
    "null": (stream(None, delta(), STOP, DONE), "any"),
    "invalid UTF-8": (stream(DATA.replace(b'"ok"', b'"o\xffk"') + b"\n\n", STOP, DONE), "any"),
    "invalid UTF-8 between events": (stream(b"\xff\xfe\n\n", delta(), STOP, DONE), "any"),
    "a UTF-8 character that is cut": (stream(DATA.replace(b'"ok"', b'"o\xe2\x82"') + b"\n\n", STOP, DONE), "any"),
    "NaN": (stream(b'data: {"choices": [{"delta": {"content": NaN}}]}\n\n', STOP, DONE), "error"),
    "a NUL": (stream(b"\0\0\0\n\n", delta(), STOP, DONE), "any"),
    "a field that is none": (stream(b"nonsense: 1\n\n", delta(), STOP, DONE), "reply"),
    "a comment": (stream(b": keep\n\n", delta(), STOP, DONE), "reply"),
    "a BOM": (stream(b"\xef\xbb\xbf", delta(), STOP, DONE), "any"),
    "line ends of CR": (stream(DATA + b"\r\r", STOP, DONE), "any"),
    "an event of many lines": (stream(DATA.replace(b", ", b",\ndata: ") + b"\n\n", STOP, DONE), "reply"),
    "choices of a dict": (stream({"choices": {}}, delta(), STOP, DONE), "any"),
    "choices of numbers": (stream({"choices": [7, None, "x"]}, delta(), STOP, DONE), "any"),
    "a delta of a text": (stream({"choices": [{"index": 0, "delta": "x"}]}, delta(), STOP, DONE), "any"),
    "a content of a number": (stream(delta(7), delta(), STOP, DONE), "any"),
    "a content of a list": (stream(delta([1, {"text": 7}]), delta(), STOP, DONE), "any"),
    "an index below 0": (stream({"choices": [{"index": -1, "delta": {"content": "x"}}]}, delta(), STOP, DONE), "any"),
    "a huge index": (stream({"choices": [{"index": 10**30, "delta": {"content": "x"}}]}, delta(), STOP, DONE), "any"),
    "an index of 2^31": (
        stream({"choices": [{"index": 2**31, "delta": {"content": "x"}}]}, delta(), STOP, DONE),
        "any",
    ),
    "a tool call below 0": (
        stream(delta(None, tool_calls=[{"index": -1, "function": {"arguments": "x"}}]), delta(), STOP, DONE),
        "any",
    ),
    "a tool call of 2^31": (
        stream(delta(None, tool_calls=[{"index": 2**31, "function": {"arguments": "x"}}]), delta(), STOP, DONE),
        "any",
    ),
    "tool calls of odd parts": (
        stream(delta(None, tool_calls=[7, None, {"function": "f"}, {"index": "x"}]), delta(), STOP, DONE),
        "any",
    ),
    "usage of odd parts": (
        stream(delta(), STOP, {"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": "x"}}, DONE),
        "any",
    ),
    "an error": (stream(delta(), {"error": {"message": "no"}}, DONE), "error"),
    "an error of a text": (stream(delta(), {"error": "no"}, DONE), "error"),
    "a surrogate half": (
        stream(b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud83d"}}]}\n\n', STOP, DONE),
        "reply",
    ),
    "two ends": (stream(delta(), STOP, DONE, DONE), "reply"),
    "events after the end": (stream(delta(), STOP, DONE, delta("more")), "reply"),
    "a finish twice": (stream(delta(), STOP, STOP, DONE), "reply"),
    "a hundred thousand empty events": (stream(b"data: {}\n\n" * 100_000, delta(), STOP, DONE), "any"),
    "a hundred thousand comments": (stream(b":\n" * 100_000, delta(), STOP, DONE), "reply"),
}


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_an_odd_stream_is_a_reply_that_can_be_read_or_a_typed_error(
    engine: oc.Engine, canned: Canned, case: str, way: str
) -> None:
    import asyncio

    data, expected = STREAMS[case]
    canned.say = lambda request: data

    def ask(text: str, **options: Any) -> Any:
        if way == "stream":
            with engine.stream(text, model=MODEL, **options) as opened:
                for one in opened:
                    one.text.encode()
                    repr(one)
                return opened.reply()

        async def run() -> Any:
            async with engine.astream(text, model=MODEL, **options) as opened:
                async for one in opened:
                    one.text.encode()
                return opened.reply()

        return asyncio.run(run())

    what = outcome(ask)
    if expected == "reply":
        assert not isinstance(what, oc.OrchestraError), repr(what)
    elif expected == "error":
        assert isinstance(what, oc.OrchestraError), repr(what)
    if isinstance(what, oc.Interrupted):
        look_at(what.partial)


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("protocol", ["openai-chat", "anthropic-messages"])
@pytest.mark.parametrize("size", [1, 7, 10**9])
def test_an_odd_stream_is_the_same_offline_however_it_is_cut(protocol: str, case: str, size: int) -> None:
    data = STREAMS[case][0].partition(b"\r\n\r\n")[2]
    if len(data) > 100_000 and size == 1:
        return
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    try:
        with wire.decode_stream(protocol, chunks) as opened:
            for one in opened:
                one.text.encode()
            look_at(opened.reply())
    except oc.OrchestraError as error:
        assert str(error)


def test_a_stream_of_comments_without_end_ends_by_its_deadline(ask_two: Ask, canned: Canned) -> None:
    def say(request: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        while True:
            yield b": keep\n\n" * 1000

    canned.say = say
    what = outcome(ask_two, timeout=oc.Timeout(total=2, first_token=0.5))
    assert isinstance(what, oc.DeadlineExceeded | oc.ProtocolError), repr(what)
