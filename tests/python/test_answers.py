"""Structured output and loops with tools, over both protocols."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

import orchestra as oc
from orchestra.testing import FakeProviders

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


@dataclass
class Town:
    city: str
    people: int


class TownDict(TypedDict):
    city: str
    people: int


def add(a: int, b: int = 2) -> int:
    """Adds two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


# ---- structured output


@pytest.mark.parametrize(
    ("wanted", "parsed"),
    [
        (Town, Town("Zürich", 5)),
        (TownDict, {"city": "Zürich", "people": 5}),
        (SCHEMA, {"city": "Zürich", "people": 5}),
        ({"type": "json_object"}, {"city": "Zürich", "people": 5}),
    ],
)
def test_parsed_is_what_was_asked_for(engine: oc.Engine, fake: FakeProviders, wanted: Any, parsed: Any) -> None:
    fake.script(['{"city": "Zürich", "people": 5}'] * 2)
    assert engine.chat("Hi", model="openai-chat/fake-1", response_format=wanted).parsed == parsed
    stream = engine.stream("Hi", model="openai-chat/fake-1", response_format=wanted)
    list(stream)
    assert stream.reply().parsed == parsed


def test_a_pydantic_model_is_filled(engine: oc.Engine, fake: FakeProviders) -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Town", city=(str, ...), people=(int, ...))
    fake.script(['{"city": "Zürich", "people": 5}'])
    parsed = engine.chat("Hi", model="openai-chat/fake-1", response_format=model).parsed
    assert parsed == model(city="Zürich", people=5)


def test_the_schema_is_sent_in_the_formats_own_field(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(['{"city": "Zürich", "people": 5}'])
    engine.chat("Hi", model="openai-chat/fake-1", response_format=Town)
    sent = fake.requests[0].body["response_format"]["json_schema"]["schema"]
    assert set(sent["properties"]) == {"city", "people"}


def test_nothing_is_parsed_when_nothing_was_asked_for(engine: oc.Engine) -> None:
    assert engine.chat("Hi", model="openai-chat/fake-1").parsed is None


def test_a_text_that_does_not_fit_raises_when_it_is_parsed_not_before(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(['{"city": "Zürich", "people": "many"}'])
    reply = engine.chat("Hi", model="openai-chat/fake-1", response_format=Town)
    assert "many" in reply.text
    with pytest.raises(oc.SchemaMismatch) as caught:
        reply.parsed  # noqa: B018
    assert (caught.value.path, caught.value.text) == ("people", reply.text)


def test_a_cut_text_is_truncated(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([{"text": '{"city": "Zü', "finish_reason": "length"}])
    reply = engine.chat("Hi", model="openai-chat/fake-1", response_format=Town)
    with pytest.raises(oc.Truncated) as caught:
        reply.parsed  # noqa: B018
    assert caught.value.text == '{"city": "Zü'


def test_a_model_without_json_schema_answers_through_a_tool_that_nobody_sees(
    fake: FakeProviders, protocol: str
) -> None:
    name = f"{protocol}/fake-1"
    answer = {"city": "Zürich", "people": 5}
    with fake.engine(models=[oc.Model(name, capabilities={"json_schema": False, "tools": True})]) as engine:
        fake.script([{"tool_calls": [{"id": "c1", "name": "answer", "arguments": answer}]}] * 2)
        reply = engine.chat("Hi", model=name, response_format=Town)
        stream = engine.stream("Hi", model=name, response_format=Town)
        streamed = "".join(delta.text for delta in stream)
    assert len(fake.requests[0].body["tools"]) == 1
    for one in (reply, stream.reply()):
        assert (one.parsed, one.tool_calls, one.finish_reason) == (Town("Zürich", 5), [], "stop")
        assert json.loads(one.text) == answer
    assert json.loads(streamed) == answer


def test_a_model_without_either_is_unsupported(fake: FakeProviders) -> None:
    model = oc.Model("openai-chat/fake-1", capabilities={"json_schema": False, "tools": False})
    with fake.engine(models=[model]) as engine, pytest.raises(oc.Unsupported, match="response_format"):
        engine.chat("Hi", model="openai-chat/fake-1", response_format=Town)


# ---- tools


def test_a_loop_with_a_tool_comes_to_its_answer(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script([{"tool_calls": [{"id": "c1", "name": "add", "arguments": {"a": 40}}]}, "It is 42."])
    messages: list[dict[str, Any]] = [{"role": "user", "content": "What is 40 + 2?"}]
    while True:
        reply = engine.chat(messages, model=f"{protocol}/fake-1", tools=[add])
        messages.append(reply.message)
        if not reply.tool_calls:
            break
        assert reply.finish_reason == "tool_calls"
        for call in reply.tool_calls:
            assert call.arguments is not None
            messages.append({"role": "tool", "tool_call_id": call.id, "content": str(add(**call.arguments))})
    assert reply.text == "It is 42."
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    sent = json.dumps(fake.requests[1].body)
    assert '"c1"' in sent
    assert '"42"' in sent


def test_two_calls_in_one_answer_both_get_their_results(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    calls = [{"id": f"c{number}", "name": "add", "arguments": {"a": number}} for number in (1, 2)]
    fake.script([{"tool_calls": calls}, "Done."])
    first = engine.chat("Hi", model=f"{protocol}/fake-1", tools=[add])
    assert [call.arguments for call in first.tool_calls] == [{"a": 1}, {"a": 2}]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "3"} for call in first.tool_calls]
    messages = [{"role": "user", "content": "Hi"}, first.message, *results]
    assert engine.chat(messages, model=f"{protocol}/fake-1", tools=[add]).text == "Done."


def test_a_conversation_may_go_on_with_another_provider(engine: oc.Engine, fake: FakeProviders) -> None:
    call = {"id": "c1", "name": "add", "arguments": {"a": 1}}
    for first, second in (("anthropic-messages", "openai-chat"), ("openai-chat", "anthropic-messages")):
        fake.script([{"tool_calls": [call], "reasoning": "Let me see."}, "Done."])
        reply = engine.chat("Hi", model=f"{first}/fake-1", tools=[add])
        result = {"role": "tool", "tool_call_id": "c1", "content": "3"}
        messages = [{"role": "user", "content": "Hi"}, reply.message, result]
        assert engine.chat(messages, model=f"{second}/fake-1", tools=[add]).text == "Done."


def test_a_function_is_described_by_its_signature_and_docstring(engine: oc.Engine, fake: FakeProviders) -> None:
    engine.chat("Hi", model="openai-chat/fake-1", tools=[add], tool_choice="required")
    body = fake.requests[0].body
    function = body["tools"][0]["function"]
    assert (function["name"], function["description"]) == ("add", "Adds two numbers.")
    assert function["parameters"]["properties"]["a"] == {"type": "integer", "description": "The first."}
    assert function["parameters"]["required"] == ["a"]
    assert body["tool_choice"] == "required"


def test_a_tool_is_chosen_by_name(engine: oc.Engine, fake: FakeProviders) -> None:
    engine.chat("Hi", model="openai-chat/fake-1", tools=[add], tool_choice="add")
    engine.chat("Hi", model="anthropic-messages/fake-1", tools=[add], tool_choice="add")
    assert fake.requests[0].body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert fake.requests[1].body["tool_choice"] == {"type": "tool", "name": "add"}


@pytest.mark.parametrize(("sent", "arguments"), [("", {}), ("null", {}), ('{"a": ', None), ("[1]", None)])
def test_arguments_of_any_text_are_read_without_an_error(
    engine: oc.Engine, fake: FakeProviders, sent: str, arguments: Any
) -> None:
    fake.script([{"tool_calls": [{"id": "c1", "name": "add", "arguments": sent}]}])
    call = engine.chat("Hi", model="openai-chat/fake-1", tools=[add]).tool_calls[0]
    assert (call.arguments, call.arguments_json) == (arguments, sent)


def test_a_loop_in_asyncio_streams_its_calls(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script([{"tool_calls": [{"id": "c1", "name": "add", "arguments": {"a": 40}}]}, "It is 42."])

    async def loop() -> str:
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
        while True:
            stream = engine.astream(messages, model=f"{protocol}/fake-1", tools=[add])
            async for _ in stream:
                pass
            reply = stream.reply()
            if not reply.tool_calls:
                return reply.text
            messages += [reply.message, {"role": "tool", "tool_call_id": "c1", "content": "42"}]

    assert asyncio.run(loop()) == "It is 42."
