"""Recorded bytes are decoded without an engine, however they are cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import orchestra as oc
from orchestra import wire


def events(*data: Any, named: bool = False, end: str = "") -> bytes:
    """Server-sent events; a str goes as it is, anything else as JSON."""
    lines = []
    for item in data:
        if named:
            lines.append(f"event: {item['type']}\n")
        lines.append(f"data: {item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)}\n\n")
    return ("".join(lines) + end).encode()


def openai_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


OPENAI_PLAIN = {
    "id": "c",
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Grüße 🙂"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}},
}
OPENAI_STREAM = events(
    openai_chunk({"role": "assistant", "content": ""}),
    openai_chunk({"content": "Grüße"}),
    openai_chunk({"content": " 🙂"}),
    openai_chunk({}, "stop"),
    {"id": "c", "model": "m-1", "choices": [], "usage": OPENAI_PLAIN["usage"]},
    "[DONE]",
)
ANTHROPIC_PLAIN = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m-1",
    "content": [{"type": "text", "text": "Grüße 🙂"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 2, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0, "output_tokens": 3},
}
ANTHROPIC_STREAM = events(
    {"type": "message_start", "message": ANTHROPIC_PLAIN | {"content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " 🙂"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
    named=True,
)
PLAIN = {"openai-chat": OPENAI_PLAIN, "anthropic-messages": ANTHROPIC_PLAIN}
STREAM = {"openai-chat": OPENAI_STREAM, "anthropic-messages": ANTHROPIC_STREAM}
RAW_FINISH = {"openai-chat": "stop", "anthropic-messages": "end_turn"}


def read(protocol: str, chunks: list[bytes]) -> tuple[str, oc.Reply]:
    with wire.decode_stream(protocol, chunks) as stream:
        text = "".join(delta.text for delta in stream)
        return text, stream.reply()


def check(reply: oc.Reply, protocol: str) -> None:
    assert reply.text == "Grüße 🙂"
    assert (reply.finish_reason, reply.finish_reason_raw, reply.served_model) == ("stop", RAW_FINISH[protocol], "m-1")
    assert (reply.usage.input_tokens, reply.usage.cached_tokens, reply.usage.output_tokens) == (7, 5, 3)
    assert reply.usage.total_tokens == 10


# ---- whole bodies


def test_a_body_is_a_reply(protocol: str) -> None:
    body = json.dumps(PLAIN[protocol], ensure_ascii=False)
    for given in (body, body.encode()):
        reply = wire.decode_reply(protocol, given, headers={"X-Request-Id": "r1"})
        check(reply, protocol)
        assert reply.raw == PLAIN[protocol]
        assert reply.body == body.encode()
        assert reply.headers == {"x-request-id": "r1"}


def test_all_choices_are_there() -> None:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        for index, (text, finish) in enumerate([("one", "stop"), ("two", "length")])
    ]
    reply = wire.decode_reply("openai-chat", json.dumps(OPENAI_PLAIN | {"choices": choices}))
    assert [(choice.text, choice.finish_reason) for choice in reply.choices] == [("one", "stop"), ("two", "length")]
    assert reply.text == "one"


def test_halves_of_a_surrogate_pair_are_one_character_and_a_lone_one_is_replaced() -> None:
    body = json.dumps(OPENAI_PLAIN).replace("Gr\\u00fc\\u00dfe \\ud83d\\ude42", "\\ud83d\\ude42 \\ud83d.")
    assert wire.decode_reply("openai-chat", body).text == "🙂 \ufffd."


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"[]", b"{}", b'{"choices": [', b"\xff\xfe"])
def test_a_body_that_is_no_reply_is_a_protocol_error(protocol: str, body: bytes) -> None:
    with pytest.raises(oc.ProtocolError) as caught:
        wire.decode_reply(protocol, body)
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, oc.InvalidRequest), (401, oc.AuthenticationError), (429, oc.RateLimited), (502, oc.ServerError)],
)
def test_a_status_is_its_error_whatever_the_body(protocol: str, status: int, kind: type[oc.OrchestraError]) -> None:
    bodies = [b"", b"<html>", json.dumps({"type": "error", "error": {"type": "x", "message": "Because."}}).encode()]
    for body in bodies:
        with pytest.raises(kind) as caught:
            wire.decode_reply(protocol, body, status=status, headers={"Retry-After": "3"})
        assert (caught.value.status, caught.value.retry_after) == (status, 3.0)
    assert "Because." in str(caught.value)


def test_the_words_of_an_error_tell_a_prompt_that_is_too_long() -> None:
    body = {"error": {"message": "too many tokens", "type": "invalid_request_error", "code": "context_length_exceeded"}}
    with pytest.raises(oc.ContextTooLong):
        wire.decode_reply("openai-chat", json.dumps(body), status=400)


def test_an_error_in_a_good_status_is_an_error(protocol: str) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Busy.", "code": 503}}
    with pytest.raises(oc.ProviderError):
        wire.decode_reply(protocol, json.dumps(body))


def test_an_unknown_protocol_is_told_with_the_known_ones() -> None:
    assert {"openai-chat", "anthropic-messages"} <= set(wire.protocols())
    with pytest.raises(oc.ConfigError, match="openai-chat"):
        wire.decode_reply("smoke-signals", b"{}")
    with pytest.raises(oc.ConfigError, match="openai-chat"):
        wire.decode_stream("smoke-signals", [])


# ---- streams


def test_a_stream_cut_once_anywhere_gives_the_same_reply(protocol: str) -> None:
    body = STREAM[protocol]
    for cut in range(len(body) + 1):
        text, reply = read(protocol, [body[:cut], body[cut:]])
        assert text == reply.text == "Grüße 🙂", cut
    check(reply, protocol)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_stream_in_small_pieces_gives_the_same_reply_with_any_line_ending(
    protocol: str, size: int, ending: bytes
) -> None:
    body = b": a comment\n\n" + STREAM[protocol]
    body = body.replace(b"\n", ending)
    text, reply = read(protocol, [body[at : at + size] for at in range(0, len(body), size)])
    assert text == "Grüße 🙂"
    check(reply, protocol)


def test_a_streams_raw_is_the_plain_body(protocol: str) -> None:
    raw = read(protocol, [STREAM[protocol]])[1].raw
    again = wire.decode_reply(protocol, json.dumps(raw))
    check(again, protocol)


def test_halves_of_a_surrogate_pair_in_two_deltas_are_one_character() -> None:
    halves = [json.dumps(openai_chunk({"content": "X"})).replace("X", half) for half in ("\\ud83d", "\\ude42")]
    text, reply = read("openai-chat", [events(*halves, openai_chunk({}, "stop"), "[DONE]")])
    assert text == reply.text == "🙂"


def test_fragments_of_a_tool_call_join() -> None:
    pieces = [{"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}]
    pieces += [{"index": 0, "function": {"arguments": part}} for part in ('{"a"', ":1}")]
    chunks = [openai_chunk({"tool_calls": [piece]}) for piece in pieces]
    _, reply = read("openai-chat", [events(*chunks, openai_chunk({}, "stop"), "[DONE]")])
    assert [(call.id, call.name, call.arguments) for call in reply.tool_calls] == [("c1", "add", {"a": 1})]
    assert reply.finish_reason == "tool_calls"


def test_reasoning_is_apart_from_the_text() -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
    thinking = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}}
    first = json.dumps({"type": "message_start", "message": ANTHROPIC_PLAIN | {"content": [], "stop_reason": None}})
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
    body = events(first, start, thinking, {"type": "content_block_stop", "index": 0}, last, {"type": "message_stop"})
    text, reply = read("anthropic-messages", [body])
    assert (text, reply.text, reply.reasoning) == ("", "", "Hm.")


def test_a_stream_without_its_end_is_interrupted_with_what_came(protocol: str) -> None:
    body = STREAM[protocol]
    stream = wire.decode_stream(protocol, [body[: body.index(b"\n", body.index("🙂".encode())) + 2]])
    with pytest.raises(oc.Interrupted) as caught:
        list(stream)
    assert caught.value.partial.text == stream.partial.text == "Grüße 🙂"
    assert caught.value.partial.finish_reason is None
    with pytest.raises(oc.Interrupted):
        stream.reply()


def test_chunks_that_raise_interrupt_the_stream_from_that_error(protocol: str) -> None:
    body = STREAM[protocol]

    def chunks() -> Iterator[bytes]:
        yield body[: body.index("🙂".encode())]
        raise OSError("unplugged")

    stream = wire.decode_stream(protocol, chunks())
    with pytest.raises(oc.Interrupted, match="unplugged") as caught:
        list(stream)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.partial.text == "Grüße"


def test_an_error_event_ends_the_stream_after_the_deltas_before_it() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}}
    start = ANTHROPIC_STREAM[: ANTHROPIC_STREAM.index(b"event: content_block_stop")]
    stream = wire.decode_stream("anthropic-messages", [start + events(error, named=True)])
    assert next(stream).text + next(stream).text == "Grüße 🙂"
    with pytest.raises(oc.Overloaded, match="Busy"):
        next(stream)


def test_a_status_is_its_error_at_the_first_next(protocol: str) -> None:
    body = json.dumps({"type": "error", "error": {"type": "x", "message": "Because."}}).encode()
    stream = wire.decode_stream(protocol, [body[:9], body[9:]], status=401)
    with pytest.raises(oc.AuthenticationError, match="Because"):
        next(stream)


def test_a_stream_of_garbage_is_an_error(protocol: str) -> None:
    with pytest.raises((oc.ProtocolError, oc.Interrupted)):
        list(wire.decode_stream(protocol, [b"data: {broken\n\n"]))


def test_there_is_a_reply_only_after_the_end(protocol: str) -> None:
    stream = wire.decode_stream(protocol, [STREAM[protocol]])
    first = next(delta for delta in stream if delta.text)
    assert first.text == "Grüße"
    with pytest.raises(RuntimeError, match="not ended"):
        stream.reply()
    list(stream)
    check(stream.reply(), protocol)
