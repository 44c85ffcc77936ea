"""Providers, models, timeouts and retries: values, and what they lower to."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from pathlib import Path

import pytest

from orchestra.config import Model, Provider, Retry, Timeout, default_providers
from orchestra.errors import ConfigError
from orchestra.secret import Secret

CANARY = "sk-canary-5f1e0c77aa"


def acme(**options) -> Provider:
    return Provider("acme", **({"protocol": "openai-chat", "base_url": "http://127.0.0.1:1/v1"} | options))


# ---- Timeout and Retry


def test_timeouts_and_retries_have_the_defaults_of_the_contract() -> None:
    assert Timeout().config() == {"total": 600, "connect": 10, "first_token": 120, "idle": 60}
    assert Retry().config() == {"attempts": 3, "total": 6, "after_sent": True}
    assert repr(Timeout(5)) == "Timeout(total=5, connect=10, first_token=120, idle=60)"


def test_timeouts_and_retries_are_values() -> None:
    for a, b, c in (
        (Timeout(5), Timeout(total=5.0), Timeout(6)),
        (Retry(2), Retry(attempts=2), Retry(2, after_sent=False)),
    ):
        assert a == b != c and hash(a) == hash(b) and a != 5
        assert pickle.loads(pickle.dumps(c)) == copy.deepcopy(c) == c
        with pytest.raises(AttributeError, match="cannot be changed"):
            a.total = 1  # type: ignore[misc]
        with pytest.raises(AttributeError):
            a.other = 1  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["total", "connect", "first_token", "idle"])
@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "long", True, None, [1]])
def test_a_timeout_is_a_number_above_zero(name: str, wrong: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: "):
        Timeout(**{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("attempts", 0),
        ("attempts", 1.5),
        ("attempts", "many"),
        ("attempts", True),
        ("total", -1),
        ("total", 10**12),
        ("after_sent", 1),
    ],
)
def test_tries_are_whole_numbers_from_one(name: str, wrong: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: "):
        Retry(**{name: wrong})  # type: ignore[arg-type]


def test_an_unknown_keyword_is_a_type_error() -> None:
    for make in (lambda: Timeout(totl=1), lambda: Retry(attemps=1), lambda: Model("a/b", contextwindow=1)):  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            make()


# ---- Provider


def test_a_provider_lowers_to_what_was_given_and_numbers_its_secrets() -> None:
    secrets: list = ["one of another provider"]

    def rotating() -> str:
        return "k"

    provider = acme(
        api_key=rotating,
        headers={"X-A": "b", "X-Token": Secret(CANARY)},
        region="eu",
        insecure=True,
        ca_file=Path("/ca.pem"),
    )
    assert provider._lower(secrets) == {
        "name": "acme",
        "protocol": "openai-chat",
        "base_url": "http://127.0.0.1:1/v1",
        "region": "eu",
        "insecure": True,
        "ca_file": "/ca.pem",
        "headers": {"X-A": "b", "X-Token": {"secret": 1}},
        "api_key": {"secret": 2},
    }
    assert secrets[1] == Secret(CANARY) and secrets[2] is rotating


def test_a_key_comes_from_the_argument_then_the_environment_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    provider, explicit, dashscope = acme(), acme(api_key="given"), Provider("qwen")
    monkeypatch.setenv("ACME_API_KEY", "later")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "shared")
    for made, expected in ((provider, "later"), (explicit, "given"), (dashscope, "shared")):
        secrets: list = []
        assert made._lower(secrets)["api_key"] == {"secret": 0} and secrets == [Secret(expected)]
    monkeypatch.setenv("ACME_API_KEY", "")
    assert "api_key" not in provider._lower([])
    assert provider.key_variable == "ACME_API_KEY" and dashscope.key_variable == "DASHSCOPE_API_KEY"


def test_base_url_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:2/v1")
    monkeypatch.setenv("MY_OWN_BASE_URL", "http://127.0.0.1:3")
    assert Provider("openai").base_url == "http://127.0.0.1:2/v1"
    assert Provider("openai", base_url="http://127.0.0.1:4").base_url == "http://127.0.0.1:4"
    assert Provider("my-own", protocol="openai-chat").base_url == "http://127.0.0.1:3"
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert Provider("openai").base_url is None


def test_repr_config_and_copies_hold_no_key() -> None:
    provider = acme(
        api_key=CANARY,
        headers={"Authorization": f"Bearer {CANARY}", "X-T": Secret(CANARY)},
        proxy=f"http://u:{CANARY}@h:1",
    )
    shown = repr(provider) + str(provider.config()) + repr(copy.deepcopy([provider])) + repr(vars(type(provider)))
    assert CANARY not in shown and "api_key=Secret(***)" in shown
    assert provider.config()["api_key"] is True and "api_key" not in acme().config()
    assert CANARY not in str(provider.api_key)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(provider)


def test_repr_shows_what_was_given() -> None:
    assert (
        repr(Provider("openai", privacy="private", headers={"X-A": "b"}))
        == "Provider('openai', headers={'X-A': 'b'}, privacy='private')"
    )


def test_providers_are_equal_by_value_keys_included() -> None:
    assert acme(api_key="a") == acme(api_key=Secret("a")) != acme(api_key="b") and acme() != acme(region="eu")
    given = {"X-A": "b"}
    provider = acme(headers=given)
    given["X-A"] = "changed"
    assert provider == acme(headers={"X-A": "b"})
    with pytest.raises(TypeError):
        provider.headers["X-A"] = "c"  # type: ignore[index]
    with pytest.raises(AttributeError):
        provider.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 42}, "name: must be a string"),
        ({"name": "nobody-knows-this"}, "nobody-knows-this"),
        ({"name": "x", "protocol": "smoke-signals", "base_url": "http://127.0.0.1:1"}, "protocol: "),
        ({"base_url": "not a url"}, "base_url: "),
        ({"base_url": 7}, "base_url: must be a string"),
        ({"privacy": "whisper"}, 'privacy: "whisper"'),
        ({"colour": "red"}, "colour: "),
        ({"privcy": "local"}, 'privcy: .* did you mean "privacy"'),
        ({"headers": {"x-a": "b\r\nx-evil: 1"}}, r"headers\.x-a: "),
        ({"headers": ["x"]}, "headers: "),
        ({"headers": {"x": 7}}, r"headers\.x: must be a string"),
        ({"headers": {7: "x"}}, "headers: names must be strings"),
        ({"headers": {"x": object()}}, r"headers\.x: cannot be a object"),
        ({"api_key": 7}, "api_key: must be a str"),
        ({"api_key": ""}, "api_key: is empty"),
        ({"limits": {}}, "limits: come with a later version"),
        ({"insecure": "yes"}, "insecure: "),
        ({"transport": "pigeon"}, "transport: "),
        ({"region": b"eu"}, "region: cannot be a bytes"),
    ],
)
def test_a_wrong_provider_is_refused_by_the_name_of_its_argument(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}" if ":" in message else message):
        Provider(**({"name": "openai"} | arguments))


def test_an_option_goes_to_the_provider_that_has_it() -> None:
    azure = Provider("azure", base_url="https://example.openai.azure.com", api_version="2024-10-21")
    assert azure._lower([])["options"] == azure.config()["options"] == {"api_version": "2024-10-21"}
    with pytest.raises(ConfigError, match="AZURE_BASE_URL"):
        Provider("azure")


def test_the_default_providers_are_those_whose_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_providers() == []
    for name in ("OPENAI", "ANTHROPIC", "AZURE"):
        monkeypatch.setenv(f"{name}_API_KEY", "k")
    assert [p.name for p in default_providers()] == ["anthropic", "openai"]  # azure has no address
    monkeypatch.setenv("AZURE_BASE_URL", "https://example.openai.azure.com")
    assert [p.name for p in default_providers()] == ["anthropic", "azure", "openai"]
    monkeypatch.setenv("AZURE_BASE_URL", "nonsense")
    with pytest.raises(ConfigError, match="base_url"):
        default_providers()


# ---- Model


def test_a_model_shows_its_arguments_and_lowers_to_them() -> None:
    model = Model(
        "a/b",
        aliases=["a/c"],
        capabilities={"tools", "seed"},
        modalities=["text", "image"],
        context_window=1000,
        max_output=10,
        input_price=0.1,
        output_price="10.0",
        cached_input_price=Decimal("0.0028"),
        cache_write_price=3,
        quality=0.5,
        latency=1,
        tokenizer="o200k_base",
        privacy="local",
        region="eu",
    )
    assert model.aliases == ("a/c",) and "tools" in model.capabilities and model.input_price == 0.1
    assert model.config() == {
        "name": "a/b",
        "aliases": ["a/c"],
        "capabilities": ["seed", "tools"],
        "modalities": ["image", "text"],
        "context_window": 1000,
        "max_output": 10,
        "input_price": "0.1",
        "output_price": "10",
        "cached_input_price": "0.0028",
        "cache_write_price": "3",
        "quality": 0.5,
        "latency": 1,
        "tokenizer": "o200k_base",
        "privacy": "local",
        "region": "eu",
    }
    assert Model("a/b").config() == {"name": "a/b"}


def test_a_price_is_the_decimal_that_was_written() -> None:
    class OwnFloat(float):
        def __repr__(self) -> str:
            return "own"

    for price in (0.1, "0.1", Decimal("0.10"), "1e-1", OwnFloat(0.1)):
        assert Model("a/b", input_price=price).config()["input_price"] == "0.1"
    assert Model("a/b", input_price=0).config()["input_price"] == "0"
    assert Model("a/b", input_price=1e-07).config()["input_price"] == "0.0000001"


@pytest.mark.parametrize(
    "wrong",
    [
        -1,
        "-0.1",
        "nan",
        float("nan"),
        float("inf"),
        "",
        "much",
        True,
        [1],
        "1e999999999",
        "1e-999999999",
        0.1 + 0.2,
        10**30,
    ],
)
def test_what_is_no_price_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="^output_price: "):
        Model("a/b", output_price=wrong)  # type: ignore[arg-type]


def test_a_capability_may_be_denied() -> None:
    model = Model("a/b", capabilities={"tools": True, "seed": False})
    assert model.config()["capabilities"] == {"tools": True, "seed": False}
    assert Model("a/b", capabilities={"tools": True}) == Model("a/b", capabilities=["tools"]) != model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lonely"}, 'name: "lonely"'),
        ({"name": None}, "name: "),
        ({"capabilities": 7}, "capabilities: "),
        ({"capabilities": "tools"}, "capabilities: "),
        ({"capabilities": {"tool"}}, 'capabilities: "tool" is not one of .* did you mean "tools"'),
        ({"capabilities": {"tools": "yes"}}, r"capabilities\.tools: "),
        ({"capabilities": {1}}, "capabilities: must hold strings"),
        ({"modalities": ["smell"]}, "modalities: "),
        ({"context_window": "big"}, "context_window: "),
        ({"context_window": 0}, "context_window: "),
        ({"max_output": True}, "max_output: "),
        ({"quality": 2}, "quality: "),
        ({"quality": float("nan")}, "quality: must be a finite number"),
        ({"aliases": ["x"]}, r"aliases\[0\]: "),
        ({"aliases": "a/x"}, "aliases: "),
    ],
)
def test_a_wrong_model_is_refused_by_the_name_of_its_argument(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        Model(**({"name": "a/b"} | arguments))


def test_models_are_values() -> None:
    model = Model("a/b", capabilities={"tools"}, input_price=2)
    assert (
        pickle.loads(pickle.dumps(model))
        == copy.copy(model)
        == Model("a/b", capabilities=("tools",), input_price="2.0")
    )
    assert hash(model) == hash(Model("a/b", capabilities={"tools"}, input_price=2))
    with pytest.raises(AttributeError):
        model.name = "c/d"  # type: ignore[misc]
    assert repr(model) == "Model('a/b', capabilities=['tools'], input_price=2)"
