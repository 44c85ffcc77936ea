"""FakeProviders and Fault as a user of orchestra.testing meets them."""

from __future__ import annotations

import http.client
import json
import pickle
import socket
import time
from typing import Any

import pytest

from orchestra.errors import ConfigError
from orchestra.testing import FakeProviders, Fault

PROTOCOLS = ["openai-chat", "anthropic-messages"]
PATH = {"openai-chat": "/chat/completions", "anthropic-messages": "/messages"}


def address(fake: FakeProviders, protocol: str) -> tuple[str, int, str]:
    host, path = fake.url(protocol).removeprefix("http://").split("/", 1)
    name, port = host.split(":")
    return name, int(port), f"/{path}{PATH[protocol]}"


def ask(fake: FakeProviders, protocol: str, text: str = "Hi") -> tuple[http.client.HTTPResponse, Any]:
    """One plain call over a connection of its own."""
    name, port, path = address(fake, protocol)
    connection = http.client.HTTPConnection(name, port, timeout=10)
    try:
        body = {"model": "fake-1", "max_tokens": 99, "messages": [{"role": "user", "content": text}]}
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "X-Mine": "1"})
        response = connection.getresponse()
        return response, json.loads(response.read())
    finally:
        connection.close()


def text_of(body: Any) -> str:
    text: str = body["choices"][0]["message"]["content"] if "choices" in body else body["content"][0]["text"]
    return text


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_script_is_played_in_order_over_all_protocols_then_text_is_made_up() -> None:
    with FakeProviders(PROTOCOLS) as fake:
        fake.script(["one", {"text": "two"}])
        assert text_of(ask(fake, "anthropic-messages")[1]) == "one"
        assert text_of(ask(fake, "openai-chat")[1]) == "two"
        assert len(text_of(ask(fake, "openai-chat")[1]).split()) >= 20


def test_arguments_of_tool_calls_may_be_dicts(protocol: str) -> None:
    with FakeProviders([protocol]) as fake:
        fake.script([{"tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": 'Kyïv "x"'}}]}])
        assert "Kyïv" in json.dumps(ask(fake, protocol)[1], ensure_ascii=False)


def test_a_call_is_recorded_with_body_headers_and_times(protocol: str) -> None:
    with FakeProviders([protocol]) as fake:
        before = time.monotonic()
        ask(fake, protocol, "Remember me")
        (request,) = fake.requests
        assert (request.protocol, request.method) == (protocol, "POST") and request.path.endswith(PATH[protocol])
        assert request.body["messages"][0]["content"] == "Remember me"
        assert request.headers["x-mine"] == "1" and request.headers["content-type"] == "application/json"
        assert before <= request.received_at == request.time <= time.monotonic()
        while request.closed_at is None:  # the record stays up to date; pytest's timeout ends this if it does not
            time.sleep(0)
        assert request.closed_at >= request.received_at


def test_a_status_fault_of_the_script_hits_one_call(protocol: str) -> None:
    with FakeProviders([protocol]) as fake:
        fake.script([Fault.status(429, retry_after=2), "after"])
        response, body = ask(fake, protocol)
        assert response.status == 429 and response.headers["Retry-After"] == "2" and body["error"]["message"]
        assert text_of(ask(fake, protocol)[1]) == "after"


def test_every_and_times_count_over_all_protocols() -> None:
    with FakeProviders(PROTOCOLS, faults=[Fault.status(500, every=2, times=2)]) as fake:
        statuses = [ask(fake, PROTOCOLS[i % 2])[0].status for i in range(6)]
        assert statuses == [200, 500, 200, 500, 200, 200]


def test_a_reset_ends_the_connection_before_any_byte(protocol: str) -> None:
    with FakeProviders([protocol]) as fake:
        fake.script([Fault.reset()])
        with pytest.raises(ConnectionError):
            ask(fake, protocol)


def test_a_rate_limit_refuses_with_a_hint(protocol: str) -> None:
    with FakeProviders([protocol], rate_limits=1) as fake:
        assert ask(fake, protocol)[0].status == 200
        response, _ = ask(fake, protocol)
        assert response.status == 429 and 0 < int(response.headers["Retry-After"]) <= 60


def test_the_seed_and_the_question_decide_the_text(protocol: str) -> None:
    texts = []
    for seed, question in ((1, "a"), (1, "a"), (2, "a"), (1, "b")):
        with FakeProviders([protocol], seed=seed) as fake:
            texts.append(text_of(ask(fake, protocol, question)[1]))
    assert texts[0] == texts[1] and len(set(texts)) == 3


def test_latency_may_be_fixed_or_a_distribution(protocol: str) -> None:
    for latency in (0.05, (0.05, 0.06)):
        with FakeProviders([protocol], latency=latency) as fake:
            begin = time.monotonic()
            ask(fake, protocol)
            assert time.monotonic() - begin >= 0.03


def test_close_gives_the_port_back_and_keeps_the_record(protocol: str) -> None:
    fake = FakeProviders([protocol])
    ask(fake, protocol)
    name, port, _ = address(fake, protocol)
    fake.close()
    fake.close()
    assert len(fake.requests) == 1
    with pytest.raises(OSError):
        socket.create_connection((name, port), timeout=5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FakeProviders(["nope"]), r"protocols\[0\]: unknown protocol 'nope'; known are anthropic-messages"),
        (lambda: FakeProviders([]), "protocols: a list"),
        (lambda: FakeProviders([1]), r"protocols\[0\]"),  # type: ignore[list-item]
        (lambda: FakeProviders(PROTOCOLS, latency=-1), "latency: seconds"),
        (lambda: FakeProviders(PROTOCOLS, latency=(2, 1)), "latency: seconds"),
        (lambda: FakeProviders(PROTOCOLS, latency="fast"), "latency: seconds"),  # type: ignore[arg-type]
        (lambda: FakeProviders(PROTOCOLS, rate_limits=0), "rate_limits: "),
        (lambda: FakeProviders(PROTOCOLS, seed=True), "seed: "),
        (lambda: FakeProviders(PROTOCOLS, faults=["x"]), r"faults\[0\]: a Fault is needed"),  # type: ignore[list-item]
        (lambda: Fault.status(200), r"Fault\.status\.code: a status from 300 to 599"),
        (lambda: Fault.status(500, every=0), r"Fault\.status\.every: a whole number of 1"),
        (lambda: Fault.drip(0), r"Fault\.drip\.bytes: a whole number of 1"),
        (lambda: Fault.stall(seconds=-1), r"Fault\.stall\.seconds: a number of 0"),
        (lambda: Fault("explode"), "no such fault"),
    ],
)
def test_what_is_wrong_is_a_config_error_with_its_path(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([{"txt": "x"}], r"script\[0\]\.txt: unknown key"),
        (["fine", 1], r"script\[1\]: a text, a Fault or an object"),
        ([{"usage": {"tokens": 1}}], r"script\[0\]\.usage\.tokens: unknown key"),
        ([{"tool_calls": [{"arguments": {}}]}], r"script\[0\]\.tool_calls\[0\]\.name: is needed"),
        ([object()], "object"),
        ("text", "script: a list is needed"),
    ],
)
def test_a_wrong_script_is_a_config_error_and_adds_nothing(script: Any, message: str) -> None:
    with FakeProviders(["openai-chat"]) as fake:
        with pytest.raises(ConfigError, match=message):
            fake.script(script)
        assert text_of(ask(fake, "openai-chat")[1]) != "fine"


def test_the_url_of_another_protocol_is_a_config_error_that_lists_the_known() -> None:
    with (
        FakeProviders(PROTOCOLS) as fake,
        pytest.raises(ConfigError, match="known are openai-chat, anthropic-messages"),
    ):
        fake.url("gemini")


def test_a_fault_is_a_value() -> None:
    fault = Fault.status(429, retry_after=1)
    assert fault == Fault.status(429, retry_after=1) != Fault.status(429)
    assert len({fault, Fault.status(429, retry_after=1)}) == 1
    assert repr(fault) == "Fault.status(code=429, retry_after=1)"
    assert pickle.loads(pickle.dumps(fault)) == fault
    with pytest.raises(AttributeError):
        fault.code = 500  # type: ignore[misc]


def test_the_engine_has_one_provider_for_each_protocol() -> None:
    with FakeProviders(PROTOCOLS) as fake, fake.engine() as engine:
        fake.script(["one", "two"])
        assert engine.chat("Hi", model="openai-chat/fake-1").text == "one"
        assert engine.chat("Hi", model="anthropic-messages/fake-1").text == "two"
        assert [request.protocol for request in fake.requests] == PROTOCOLS
