"""Engine: calls, selection, retries, fallbacks and keys, against providers on a loopback port."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import orchestra as oc
from orchestra.testing import FakeProviders, Fault

OPENAI = "openai-chat/fake-1"
ANTHROPIC = "anthropic-messages/fake-1"
Until = Callable[[Callable[[], object]], None]


def provider(fake: FakeProviders, protocol: str = "openai-chat", **arguments: Any) -> oc.Provider:
    return oc.Provider("mine", protocol=protocol, base_url=fake.url(protocol), **arguments)


def contents(fake: FakeProviders) -> list[Any]:
    return [[message["content"] for message in request.body["messages"]] for request in fake.requests]


# ---- calls


def test_building_an_engine_starts_no_thread_and_asks_nobody(fake: FakeProviders) -> None:
    before = len(os.listdir("/proc/self/task"))
    engine = fake.engine()
    assert len(os.listdir("/proc/self/task")) <= before
    assert fake.requests == []
    engine.close()


def test_chat_gives_the_text_usage_and_the_models_name(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script(["Grüße 🙂"])
    reply = engine.chat("Hi", model=f"{protocol}/fake-1")
    assert (reply.text, reply.finish_reason, reply.model) == ("Grüße 🙂", "stop", f"{protocol}/fake-1")
    assert (reply.provider, reply.served_model) == (protocol, "fake-1")
    assert reply.usage.input_tokens
    assert reply.usage.total_tokens == reply.usage.input_tokens + (reply.usage.output_tokens or 0)
    assert reply.raw["model"] == "fake-1"
    assert (reply.message["role"], reply.message["content"]) == ("assistant", "Grüße 🙂")
    assert 0 < (reply.time_to_first_token or 0) <= reply.latency
    assert reply.headers["content-type"].startswith("application/json")


def test_achat_gives_the_same_as_chat(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script(["one", "one"])
    model = f"{protocol}/fake-1"
    plain, awaited = engine.chat("Hi", model=model), asyncio.run(engine.achat("Hi", model=model))
    assert plain.text == awaited.text == "one"
    assert fake.requests[0].body == fake.requests[1].body


def test_many_calls_of_one_loop_run_at_once(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(["same"] * 50)

    async def ask() -> list[oc.Reply]:
        return await asyncio.gather(*(engine.achat(str(number), model=OPENAI) for number in range(50)))

    assert [reply.text for reply in asyncio.run(ask())] == ["same"] * 50
    assert sorted(int(content[0]) for content in contents(fake)) == list(range(50))


def test_one_engine_serves_threads_and_their_loops(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(["same"] * 40)

    def ask(number: int) -> str:
        if number % 2:
            return asyncio.run(engine.achat("Hi", model=OPENAI)).text
        return engine.chat("Hi", model=ANTHROPIC).text

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(40))) == ["same"] * 40


@pytest.mark.parametrize("messages", ["Hi", {"role": "user", "content": "Hi"}, [{"role": "user", "content": "Hi"}]])
def test_a_text_a_message_and_a_list_ask_the_same(engine: oc.Engine, fake: FakeProviders, messages: Any) -> None:
    engine.chat(messages, model=OPENAI)
    assert fake.requests[0].body["messages"] == [{"role": "user", "content": "Hi"}]


def test_system_comes_before_the_messages(engine: oc.Engine, fake: FakeProviders) -> None:
    engine.chat("Hi", model=OPENAI, system="Be short.")
    engine.chat("Hi", model=ANTHROPIC, system="Be short.")
    assert fake.requests[0].body["messages"][0] == {"role": "system", "content": "Be short."}
    assert "Be short." in str(fake.requests[1].body["system"])


def test_extra_is_merged_last(engine: oc.Engine, fake: FakeProviders) -> None:
    engine.chat("Hi", model=OPENAI, temperature=0.5, extra={"temperature": 0.25, "mine": [1]})
    assert fake.requests[0].body["temperature"] == 0.25
    assert fake.requests[0].body["mine"] == [1]


def test_a_refusal_and_reasoning_are_told_apart_from_the_text(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([{"refusal": "No."}, {"text": "Yes.", "reasoning": "Let me see."}])
    refused = engine.chat("Hi", model=OPENAI)
    assert (refused.text, refused.refusal, refused.finish_reason) == ("", "No.", "refusal")
    reasoned = engine.chat("Hi", model=ANTHROPIC)
    assert (reasoned.text, reasoned.reasoning) == ("Yes.", "Let me see.")


def test_a_known_price_gives_an_exact_cost(fake: FakeProviders) -> None:
    fake.script([{"text": "Hi", "usage": {"input_tokens": 3, "output_tokens": 7}}])
    model = oc.Model(OPENAI, input_price="0.15", output_price="0.6")
    with fake.engine(models=[model]) as engine:
        cost = engine.chat("Hi", model=OPENAI).cost
    nano_usd = 3 * 150 + 7 * 600
    assert (cost.known, cost.estimated, cost.nano_usd, cost.usd) == (True, False, nano_usd, nano_usd / 1e9)


def test_an_unknown_price_gives_an_unknown_cost(engine: oc.Engine) -> None:
    cost = engine.chat("Hi", model=OPENAI).cost
    assert (cost.known, cost.usd, cost.nano_usd) == (False, None, None)


# ---- selection and validation


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({}, "model"),
        ({"model": OPENAI, "route": "support"}, "not both"),
        ({"route": "support"}, "support"),
        ({"model": "nobody/x"}, "nobody"),
        ({"model": "fake-1"}, "provider/model"),
        ({"model": []}, "empty"),
        ({"model": OPENAI, "temperature": -1}, "temperature"),
        ({"model": OPENAI, "max_tokens": True}, "max_tokens"),
        ({"model": OPENAI, "top_p": float("nan")}, "top_p"),
        ({"model": OPENAI, "timeout": 0}, "timeout"),
        ({"model": OPENAI, "retry": 3}, "retry"),
        ({"model": OPENAI, "tags": ["a"]}, "tags"),
    ],
)
def test_a_wrong_keyword_is_told_with_its_name_before_anything_is_sent(
    engine: oc.Engine, fake: FakeProviders, keywords: dict[str, Any], words: str
) -> None:
    with pytest.raises(oc.InvalidRequest, match=words) as caught:
        engine.chat("Hi", **keywords)
    assert isinstance(caught.value, ValueError)
    assert fake.requests == []


def test_a_wrong_part_of_a_message_is_told_with_its_path(engine: oc.Engine) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "user", "content": [{"type": "smell"}]}]
    with pytest.raises(oc.InvalidRequest, match=r"messages\[1\]\.content\[0\]\.type"):
        engine.chat(messages, model=OPENAI)


@pytest.mark.parametrize("form", ["chat", "stream", "map"])
def test_an_unknown_keyword_is_a_type_error(engine: oc.Engine, form: str) -> None:
    with pytest.raises(TypeError, match="tempurature"):
        getattr(engine, form)(["Hi"], model=OPENAI, tempurature=1)


def test_what_a_format_cannot_express_is_unsupported_unless_it_may_be_dropped(
    engine: oc.Engine, fake: FakeProviders
) -> None:
    with pytest.raises(oc.Unsupported, match="seed"):
        engine.chat("Hi", model=ANTHROPIC, seed=1)
    assert fake.requests == []
    reply = engine.chat("Hi", model=ANTHROPIC, seed=1, drop_unsupported=True)
    assert "seed" not in fake.requests[0].body
    assert any("seed" in dropped for dropped in reply.attempts[0].dropped)


# ---- retries and fallbacks


def test_an_overloaded_provider_is_asked_again(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script([Fault.status(503), Fault.status(500), "Here."])
    reply = engine.chat("Hi", model=f"{protocol}/fake-1")
    assert reply.text == "Here."
    assert [attempt.status for attempt in reply.attempts] == [503, 500, 200]
    assert [attempt.error_kind for attempt in reply.attempts] == ["Overloaded", "ServerError", None]
    assert reply.attempts[0].cost.nano_usd == 0


def test_retry_after_is_not_undercut(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([Fault.status(429, retry_after=0.2), "Here."])
    reply = engine.chat("Hi", model=OPENAI)
    assert reply.attempts[0].retry_after == 0.2
    first, second = (request.received_at for request in fake.requests)
    assert second - first >= 0.2


def test_tries_are_counted_per_target_and_over_all(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([Fault.status(500)] * 8)
    with pytest.raises(oc.ServerError) as caught:
        engine.chat("Hi", model=OPENAI, retry=oc.Retry(attempts=2))
    assert len(caught.value.attempts) == len(fake.requests) == 2
    with pytest.raises(oc.ServerError) as caught:
        engine.chat("Hi", model=[OPENAI, ANTHROPIC], retry=oc.Retry(attempts=2, total=3))
    assert [attempt.model for attempt in caught.value.attempts] == [OPENAI, OPENAI, ANTHROPIC]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, oc.InvalidRequest),
        (401, oc.AuthenticationError),
        (403, oc.PermissionDenied),
        (404, oc.NotFound),
        (429, oc.RateLimited),
        (500, oc.ServerError),
        (503, oc.Overloaded),
        (529, oc.Overloaded),
    ],
)
def test_a_status_has_its_error(
    engine: oc.Engine, fake: FakeProviders, protocol: str, status: int, kind: type[oc.OrchestraError]
) -> None:
    fake.script([Fault.status(status)])
    with pytest.raises(kind) as caught:
        engine.chat("Hi", model=f"{protocol}/fake-1", retry=oc.Retry(attempts=1))
    error = caught.value
    assert (error.status, error.model, error.provider) == (status, f"{protocol}/fake-1", protocol)
    assert error.body
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.status) == (kind, str(error), status)


def test_garbage_is_a_protocol_error(engine: oc.Engine, fake: FakeProviders, protocol: str) -> None:
    fake.script([Fault.garbage()])
    with pytest.raises(oc.ProtocolError):
        engine.chat("Hi", model=f"{protocol}/fake-1", retry=oc.Retry(attempts=1))


def test_the_next_model_is_asked_when_one_fails(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([Fault.status(401), "From the other."])
    reply = engine.chat("Hi", model=[OPENAI, ANTHROPIC])
    assert (reply.text, reply.model) == ("From the other.", ANTHROPIC)
    assert [attempt.model for attempt in reply.attempts] == [OPENAI, ANTHROPIC]


def test_a_request_that_is_wrong_for_one_is_not_sent_to_the_next(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([Fault.status(400)])
    with pytest.raises(oc.InvalidRequest):
        engine.chat("Hi", model=[OPENAI, ANTHROPIC])
    assert len(fake.requests) == 1


def test_a_connection_that_is_reset_is_tried_again_unless_it_may_have_been_served(
    engine: oc.Engine, fake: FakeProviders
) -> None:
    fake.script([Fault.reset(), "Here.", Fault.reset()])
    assert len(engine.chat("Hi", model=OPENAI).attempts) == 2
    with pytest.raises(oc.TransportError):
        engine.chat("Hi", model=OPENAI, retry=oc.Retry(after_sent=False))


def test_nobody_at_the_address_is_a_connect_error() -> None:
    with FakeProviders(["openai-chat"]) as fake:
        gone = provider(fake)
    with oc.Engine(providers=[gone]) as engine, pytest.raises(oc.ConnectError):
        engine.chat("Hi", model="mine/x", retry=oc.Retry(attempts=1))


@pytest.mark.parametrize(
    ("stalled_after", "timeout", "phase"),
    [(0, 0.05, "total"), (0, oc.Timeout(first_token=0.05), "first_token"), (1, oc.Timeout(idle=0.05), "idle")],
)
def test_a_deadline_names_its_phase(
    engine: oc.Engine, fake: FakeProviders, stalled_after: int, timeout: Any, phase: str
) -> None:
    fake.script([Fault.stall(stalled_after, seconds=30)])
    with pytest.raises(oc.DeadlineExceeded) as caught:
        list(engine.stream("Hi", model=OPENAI, timeout=timeout, retry=oc.Retry(attempts=1)))
    assert caught.value.phase == phase
    assert isinstance(caught.value, TimeoutError)


def test_a_connection_that_was_never_made_harms_no_later_one(fake: FakeProviders) -> None:
    with socket.socket() as full, socket.socket() as filling, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (filling, waiting):  # the queue holds one: further ones get no answer
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        silent = oc.Provider("silent", protocol="openai-chat", base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1")
        with oc.Engine(providers=[silent, provider(fake)]) as engine:
            for _ in range(3):
                with pytest.raises(oc.DeadlineExceeded) as caught:
                    engine.chat("Hi", model="silent/x", timeout=oc.Timeout(connect=0.05), retry=oc.Retry(attempts=1))
                assert caught.value.phase == "connect"
                assert engine.chat("Hi", model="mine/x").text


# ---- logging


def test_retries_and_fallbacks_are_logged_without_content_or_keys(
    engine: oc.Engine, fake: FakeProviders, caplog: pytest.LogCaptureFixture
) -> None:
    fake.script([Fault.status(503), Fault.status(401), "The answer."])
    with caplog.at_level("INFO", logger="orchestra"):
        engine.chat("The question.", model=[OPENAI, ANTHROPIC])
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert "retried openai-chat/fake-1 after Overloaded (status 503)" in caplog.text
    assert "fell back from openai-chat/fake-1 to anthropic-messages/fake-1" in caplog.text
    for secret in ("question", "answer", "Bearer"):
        assert secret not in caplog.text


def test_a_call_that_goes_well_logs_nothing(engine: oc.Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="orchestra"):
        engine.chat("Hi", model=OPENAI)
    assert caplog.records == []


# ---- keys


def test_a_key_and_secret_headers_are_sent(fake: FakeProviders, protocol: str) -> None:
    mine = provider(fake, protocol, api_key=oc.Secret("sk-1"), headers={"X-Team": oc.Secret("red"), "X-Plain": "blue"})
    with oc.Engine(providers=[mine]) as engine:
        engine.chat("Hi", model="mine/x")
    headers = fake.requests[0].headers
    sent = headers["authorization"] if protocol == "openai-chat" else headers["x-api-key"]
    assert sent.removeprefix("Bearer ") == "sk-1"
    assert (headers["x-team"], headers["x-plain"]) == ("red", "blue")


def test_a_function_is_asked_for_the_key_of_every_attempt(fake: FakeProviders) -> None:
    keys = iter(["sk-1", "sk-2", "sk-3"])
    asked_in: list[str] = []

    def key() -> str:
        asked_in.append(threading.current_thread().name)
        return next(keys)

    fake.script([Fault.status(503), "one", "two"])
    with oc.Engine(providers=[provider(fake, api_key=key)]) as engine:
        engine.chat("Hi", model="mine/x")
        asyncio.run(engine.achat("Hi", model="mine/x"))
    sent = [request.headers["authorization"] for request in fake.requests]
    assert sent == ["Bearer sk-1", "Bearer sk-2", "Bearer sk-3"]
    assert set(asked_in) == {"orchestra-keys"}


@pytest.mark.parametrize("key", [lambda: 1 // 0, lambda: 5, lambda: ""])
def test_a_function_that_gives_no_key_is_a_config_error(fake: FakeProviders, key: Any) -> None:
    with oc.Engine(providers=[provider(fake, api_key=key)]) as engine, pytest.raises(oc.ConfigError):
        engine.chat("Hi", model="mine/x")
    assert fake.requests == []


def test_a_missing_key_is_told_by_the_call_with_its_variable() -> None:
    with oc.Engine(providers=[oc.Provider("openai")]) as engine, pytest.raises(oc.ConfigError, match="OPENAI_API_KEY"):
        engine.chat("Hi", model="openai/gpt-5-mini")


def test_a_provider_that_was_left_out_for_want_of_a_key_is_told_with_its_variable() -> None:
    with oc.Engine() as engine, pytest.raises(oc.ConfigError, match="ANTHROPIC_API_KEY"):
        engine.chat("Hi", model="anthropic/claude-sonnet-5")


def test_every_provider_whose_key_is_set_is_used(fake: FakeProviders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-env")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url("anthropic-messages"))
    with oc.Engine() as engine:
        assert engine.chat("Hi", model="anthropic/claude-x").provider == "anthropic"
    assert fake.requests[0].headers["x-api-key"] == "sk-env"


def test_connections_of_configurations_that_are_gone_are_closed() -> None:
    with FakeProviders(["openai-chat"]) as fake:
        provider = oc.Provider("up", protocol="openai-chat", base_url=fake.url("openai-chat"), api_key="k")
        with oc.Engine(providers=[provider]) as engine:
            for _ in range(20):
                engine.update(providers=[provider])
                assert engine.chat("Hi", model="up/m-1").text
            assert engine.stats()["connections"] <= 3
