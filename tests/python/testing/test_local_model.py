"""The engine against a real model: shapes, counts and errors, never wording."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

import orchestra as oc
from orchestra.testing import local_model as module
from orchestra.testing.local_model import LocalModel

pytestmark = pytest.mark.real_model

MODEL = f"local/{LocalModel.model}"
SHORT: dict[str, Any] = {"model": MODEL, "max_tokens": 24, "temperature": 0}


def engine_for(server: LocalModel, protocol: str, **options: Any) -> oc.Engine:
    provider = oc.Provider("local", protocol=protocol, base_url=server.url, privacy="local", **options)
    return oc.Engine(providers=[provider])


@pytest.fixture(params=["openai-chat", "anthropic-messages"])
def engine(request: pytest.FixtureRequest, local_model: LocalModel) -> Iterator[oc.Engine]:
    with engine_for(local_model, request.param) as engine:
        yield engine


@pytest.fixture
def openai_engine(local_model: LocalModel) -> Iterator[oc.Engine]:
    with engine_for(local_model, "openai-chat") as engine:
        yield engine


def get(url: str) -> Any:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=10) as reply:
        return json.load(reply)


def busy_slots(server: LocalModel) -> int:
    return sum(slot["is_processing"] for slot in get(server.root_url + "/slots"))


def becomes(condition: Any, expected: object, within: float = 10.0) -> bool:
    """Asks until the condition has that value; the server answers between two tokens, so this does not spin."""
    deadline = time.monotonic() + within
    while (value := condition()) != expected and time.monotonic() < deadline:
        pass
    return bool(value == expected)


def test_a_chat_gives_text_usage_and_the_served_model(engine: oc.Engine) -> None:
    reply = engine.chat("Name a colour.", **SHORT)
    assert reply.text.strip()
    assert reply.finish_reason in {"stop", "length"}
    assert reply.served_model == LocalModel.model
    assert reply.usage.input_tokens > 5
    assert 0 < reply.usage.output_tokens <= 24
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
    assert [attempt.status for attempt in reply.attempts] == [200]


def test_a_reply_cut_by_max_tokens_finishes_with_length(engine: oc.Engine) -> None:
    reply = engine.chat("Tell me a long story about the sea.", **(SHORT | {"max_tokens": 4}))
    assert reply.finish_reason == "length"
    assert reply.usage.output_tokens == 4


def test_a_stream_gives_the_text_of_the_plain_call_in_pieces(engine: oc.Engine) -> None:
    plain = engine.chat("Count to five.", **SHORT)
    with engine.stream("Count to five.", **SHORT) as stream:
        deltas = list(stream)
    reply = stream.reply()
    assert "".join(delta.text for delta in deltas) == reply.text == plain.text
    assert sum(bool(delta.text) for delta in deltas) > 1
    assert reply.finish_reason == plain.finish_reason
    assert reply.usage.output_tokens == plain.usage.output_tokens
    assert reply.usage.input_tokens == plain.usage.input_tokens
    assert reply.time_to_first_token <= reply.latency


def test_a_conversation_goes_on_with_the_message_of_the_reply(engine: oc.Engine) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Name a colour."}]
    first = engine.chat(messages, system="Answer with one word.", **SHORT)
    messages += [first.message, {"role": "user", "content": "And another one."}]
    second = engine.chat(messages, system="Answer with one word.", **SHORT)
    assert second.text.strip()
    assert second.usage.input_tokens > first.usage.input_tokens


def test_a_map_answers_every_row_in_order(engine: oc.Engine) -> None:
    batch = engine.map([f"Say the number {n}." for n in range(6)], concurrency=6, **(SHORT | {"max_tokens": 8}))
    assert batch.complete
    assert len(batch.ok) == len(batch) == 6
    assert all(0 < reply.usage.output_tokens <= 8 for reply in batch.ok)


def test_a_prompt_beyond_the_window_is_context_too_long(engine: oc.Engine) -> None:
    with pytest.raises(oc.ContextTooLong) as caught:
        engine.chat("word " * 4000, **SHORT)
    assert caught.value.status == 400
    assert not caught.value.is_retryable
    with pytest.raises(oc.ContextTooLong), engine.stream("word " * 4000, **SHORT) as stream:
        next(iter(stream))


@pytest.mark.parametrize("protocol", ["openai-chat", "anthropic-messages"])
def test_a_wrong_key_is_an_authentication_error_and_the_right_one_works(
    locked_local_model: LocalModel, protocol: str
) -> None:
    with engine_for(locked_local_model, protocol, api_key="sk-wrong") as engine:
        with pytest.raises(oc.AuthenticationError) as caught:
            engine.chat("Hi", **SHORT)
        assert caught.value.status == 401
        assert len(caught.value.attempts) == 1
        assert "sk-wrong" not in str(caught.value)
    with engine_for(locked_local_model, protocol, api_key="sk-local") as engine:
        assert engine.chat("Hi", **SHORT).usage.output_tokens > 0


def test_leaving_a_stream_frees_the_slot_of_the_server(openai_engine: oc.Engine, local_model: LocalModel) -> None:
    assert becomes(lambda: busy_slots(local_model), 0)
    # Far more tokens than the test lets it make; the model may not end by itself.
    long = SHORT | {"max_tokens": 1500, "extra": {"ignore_eos": True}}
    with openai_engine.stream("Tell me a story without end.", **long) as stream:
        next(iter(stream))
        assert busy_slots(local_model) == 1
    left = time.monotonic()
    assert becomes(lambda: busy_slots(local_model), 0)
    assert time.monotonic() - left < 5  # 1,500 tokens take longer than 15 s
    with pytest.raises(RuntimeError):
        stream.reply()
    assert openai_engine.stats()["in_flight"] == 0


def test_structured_output_is_parsed(openai_engine: oc.Engine) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 10},
            "age": {"type": "integer", "minimum": 1, "maximum": 99},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    reply = openai_engine.chat("Invent a person.", response_format=schema, **(SHORT | {"max_tokens": 32}))
    assert reply.finish_reason == "stop"
    assert set(reply.parsed) == {"name", "age"}
    assert isinstance(reply.parsed["name"], str)
    assert 1 <= reply.parsed["age"] <= 99


def test_the_server_ends_when_its_parent_is_killed(local_model: LocalModel) -> None:
    parent = (
        "import json, os, time\n"
        "from orchestra.testing.local_model import LocalModel\n"
        "model = LocalModel(slots=1, context=256).start()\n"
        "print(json.dumps([model.url, model._process.pid]), flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url, child = json.loads(process.stdout.readline())
        watch = os.pidfd_open(child)
        try:
            assert get(url + "/models")["data"]
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            signalled = _ends_within(watch, 10)
        finally:
            os.close(watch)
    assert signalled


def _ends_within(process_descriptor: int, seconds: float) -> bool:
    return bool(select.select([process_descriptor], [], [], seconds)[0])


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", {"no_such_package": "no-such-package==1.0"})
    with pytest.raises(RuntimeError, match="no_such_package not installed; pip install no-such-package==1.0"):
        LocalModel().start()


def test_a_stopped_model_has_no_url(local_model: LocalModel) -> None:
    model = LocalModel(slots=1, context=256)
    with model:
        assert get(model.root_url + "/health") == {"status": "ok"}
        assert model.url == model.root_url + "/v1"
    model.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = model.url
