"""The providers' own Python clients talk to FakeProviders and notice no difference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestra.testing import FakeProviders, Fault

TEXT = 'Grüße aus Oslo ☀ — 12 °C.\n\tZweite Zeile \\ "Ende"'
USAGE = {"input_tokens": 11, "output_tokens": 7}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALLS = [("weather", {"city": "Oslo"}), ("weather", {"city": 'Kyïv "x"'})]
TOOL_REPLY = {
    "usage": USAGE,
    "tool_calls": [{"id": f"call_{i}", "name": name, "arguments": given} for i, (name, given) in enumerate(CALLS)],
}


class OpenAI:
    """What a program sees through `openai`: text, calls, finish word, tokens."""

    protocol, finish, tool_finish = "openai-chat", "stop", "tool_calls"

    def __init__(self, fake: FakeProviders) -> None:
        self.sdk = pytest.importorskip("openai")
        self.client = self.sdk.OpenAI(api_key="k", base_url=fake.url(self.protocol), max_retries=0)

    def close(self) -> None:
        self.client.close()

    def arguments(self, tools: bool = False, schema: bool = False) -> dict[str, Any]:
        call: dict[str, Any] = {"model": "fake-1", "messages": [{"role": "user", "content": "Hi"}]}
        if tools:
            call["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
        if schema:
            call["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
        return call

    def chat(self, **options: bool) -> tuple[Any, ...]:
        reply = self.client.chat.completions.create(**self.arguments(**options))
        return self.seen(reply.choices[0], reply.usage)

    def stream(self, **options: bool) -> tuple[Any, ...]:
        with self.client.chat.completions.stream(
            **self.arguments(**options), stream_options={"include_usage": True}
        ) as stream:
            for _ in stream:
                pass
            reply = stream.get_final_completion()
        return self.seen(reply.choices[0], reply.usage)

    def seen(self, choice: Any, usage: Any) -> tuple[Any, ...]:
        calls = [(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls or []]
        return choice.message.content or "", calls, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens


class Anthropic:
    """The same through `anthropic`."""

    protocol, finish, tool_finish = "anthropic-messages", "end_turn", "tool_use"

    def __init__(self, fake: FakeProviders) -> None:
        self.sdk = pytest.importorskip("anthropic")
        root = fake.url(self.protocol).removesuffix("/v1")
        self.client = self.sdk.Anthropic(api_key="k", base_url=root, max_retries=0)

    def close(self) -> None:
        self.client.close()

    def arguments(self, tools: bool = False, schema: bool = False) -> dict[str, Any]:
        call: dict[str, Any] = {"model": "fake-1", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
        if tools:
            call["tools"] = [{"name": "weather", "input_schema": WEATHER}]
        if schema:
            call["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        return call

    def chat(self, **options: bool) -> tuple[Any, ...]:
        return self.seen(self.client.messages.create(**self.arguments(**options)))

    def stream(self, **options: bool) -> tuple[Any, ...]:
        with self.client.messages.stream(**self.arguments(**options)) as stream:
            text = "".join(stream.text_stream)
            seen = self.seen(stream.get_final_message())
        assert text == seen[0]
        return seen

    def seen(self, message: Any) -> tuple[Any, ...]:
        text = "".join(block.text for block in message.content if block.type == "text")
        calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
        return text, calls, message.stop_reason, message.usage.input_tokens, message.usage.output_tokens


@pytest.fixture
def fake() -> Iterator[FakeProviders]:
    with FakeProviders(["openai-chat", "anthropic-messages"]) as providers:
        yield providers


@pytest.fixture(params=[OpenAI, Anthropic])
def client(request: pytest.FixtureRequest, fake: FakeProviders) -> Iterator[Any]:
    client = request.param(fake)
    yield client
    client.close()


@pytest.mark.parametrize("how", ["chat", "stream"])
def test_a_client_gets_the_scripted_text_finish_and_usage(fake: FakeProviders, client: Any, how: str) -> None:
    fake.script([{"text": TEXT, "usage": USAGE}])
    assert getattr(client, how)() == (TEXT, [], client.finish, 11, 7)


@pytest.mark.parametrize("how", ["chat", "stream"])
def test_a_client_gets_the_scripted_tool_calls(fake: FakeProviders, client: Any, how: str) -> None:
    fake.script([TOOL_REPLY])
    assert getattr(client, how)(tools=True) == ("", CALLS, client.tool_finish, 11, 7)


@pytest.mark.parametrize("how", ["chat", "stream"])
def test_made_up_text_comes_with_usage(client: Any, how: str) -> None:
    text, calls, finish, read, written = getattr(client, how)()
    assert text and not calls and finish == client.finish and read > 0 and written > 0


def test_a_schema_reaches_the_fake_and_json_comes_back(fake: FakeProviders, client: Any) -> None:
    fake.script(['{"n": 3}'])
    assert json.loads(client.chat(schema=True)[0]) == {"n": 3}
    assert '"n": {"type": "integer"}' in json.dumps(fake.requests[-1].body)


@pytest.mark.parametrize("how", ["chat", "stream"])
@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (529, "InternalServerError"),
    ],
)
def test_a_status_is_the_client_s_own_exception(
    fake: FakeProviders, client: Any, how: str, status: int, name: str
) -> None:
    fake.script([Fault.status(status, retry_after=2 if status == 429 else None)])
    with pytest.raises(getattr(client.sdk, name)) as caught:
        getattr(client, how)()
    assert caught.value.status_code == status and str(status) in str(caught.value)
    assert caught.value.response.headers.get("retry-after") == ("2" if status == 429 else None)


@pytest.mark.parametrize("how", ["chat", "stream"])
def test_a_client_retries_by_itself(fake: FakeProviders, client: Any, how: str) -> None:
    client.client = client.client.with_options(max_retries=1)
    fake.script([Fault.status(500), "after"])
    assert getattr(client, how)()[0] == "after" and len(fake.requests) == 2


@pytest.mark.parametrize("fault", [Fault.drip(7), Fault.duplicate_event()])
def test_a_harmless_fault_changes_nothing(client: Any, fake: FakeProviders, fault: Fault) -> None:
    fake.script([fault])
    text, _, finish, _, written = client.stream()
    assert text and finish == client.finish and written > 0


@pytest.mark.parametrize("fault", [Fault.cut(after_events=2), Fault.reset(), Fault.reset(after_bytes=700)])
def test_a_broken_stream_is_an_exception_for_the_client(client: Any, fake: FakeProviders, fault: Fault) -> None:
    fake.script([fault])
    with pytest.raises(Exception) as caught:
        client.stream()
    assert type(caught.value).__module__.split(".")[0] in ("openai", "anthropic", "httpx", "httpx2"), caught.value


def test_the_model_is_listed(client: Any) -> None:
    assert [model.id for model in client.client.models.list()] == ["fake-1"]
