"""Whatever is given to a constructor, the answer is a ConfigError that begins with its argument (or a TypeError)."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import orchestra as oc
from orchestra.testing import FakeProviders, Fault


class RaisesOnStr:
    def __str__(self) -> str:
        raise LookupError("hostile")

    __repr__ = __format__ = __fspath__ = __str__  # type: ignore[assignment]


class RaisesOnItem(dict):  # type: ignore[type-arg]
    def __getitem__(self, key: object) -> object:
        raise LookupError("hostile")

    def keys(self) -> Any:
        raise LookupError("hostile")


class RaisesOnEquality:
    def __eq__(self, other: object) -> bool:
        raise LookupError("hostile")

    __hash__ = None  # type: ignore[assignment]


def itself() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def itself_as_dict() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["me"] = made
    return made


def deep() -> Any:
    made: Any = 1
    for _ in range(10_000):
        made = {"a": made}
    return made


WRONG: dict[str, Callable[[], Any]] = {
    "an object": object,
    "bytes": lambda: b"x",
    "NaN": lambda: float("nan"),
    "a negative huge int": lambda: -(10**400),
    "a huge int": lambda: 10**400,
    "an int that has no decimal form": lambda: 10**5000,
    "a complex": lambda: 1j,
    "a lone surrogate": lambda: "\ud800",
    "a NUL": lambda: "a\0b",
    "a line break": lambda: "a\r\nb",
    "an empty str": lambda: "",
    "a set": lambda: {1, 2},
    "keys that are no str": lambda: {1: 2},
    "itself": itself,
    "itself as a dict": itself_as_dict,
    "deep dicts": deep,
    "raises on str": RaisesOnStr,
    "raises on item": lambda: RaisesOnItem(a=1),
    "raises on equality": RaisesOnEquality,
    "a Decimal that is none": lambda: Decimal("sNaN"),
    "a class": lambda: int,
}

ARGUMENTS = {
    oc.Provider: [
        "name",
        "protocol",
        "base_url",
        "api_key",
        "headers",
        "privacy",
        "region",
        "limits",
        "proxy",
        "ca_file",
        "insecure",
        "transport",
        "api_version",
    ],
    oc.Model: [
        "name",
        "aliases",
        "capabilities",
        "modalities",
        "context_window",
        "max_output",
        "input_price",
        "output_price",
        "cached_input_price",
        "cache_write_price",
        "cache_write_1h_price",
        "reasoning_price",
        "audio_input_price",
        "audio_output_price",
        "quality",
        "latency",
        "tokenizer",
        "privacy",
        "region",
    ],
    oc.Timeout: ["total", "connect", "first_token", "idle"],
    oc.Retry: ["attempts", "total", "after_sent"],
    oc.Engine: ["providers", "models", "routes", "traces", "seed"],
}
REQUIRED: dict[Any, dict[str, Any]] = {
    oc.Provider: {"name": "azure", "base_url": "http://127.0.0.1:1"},
    oc.Model: {"name": "a/b"},
    oc.Engine: {"providers": []},
}
# What an argument does take: an empty text that says "none", a text that only means something elsewhere.
ALLOWED = {
    ("region", "an empty str"), ("proxy", "an empty str"), ("ca_file", "an empty str"), ("base_url", "an empty str"),
    ("region", "a line break"), ("region", "a NUL"), ("ca_file", "a line break"), ("api_version", "an empty str"),
    ("routes", "an empty str"), ("models", "an empty str"), ("seed", "a huge int"), ("api_key", "a class"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", ARGUMENTS, ids=lambda kind: kind.__name__)
def test_a_wrong_argument_is_refused_by_its_name(kind: Any, wrong: str) -> None:
    faults = []
    for name in ARGUMENTS[kind]:
        if (name, wrong) in ALLOWED and (kind, name) != (oc.Retry, "total"):
            continue
        try:
            kind(**(REQUIRED.get(kind, {}) | {name: WRONG[wrong]()}))
        except oc.ConfigError as error:
            if name not in str(error) or len(str(error)) > 1000 or not str(error).encode():
                faults.append(f"{name}: {error!s:.200}")
        except TypeError:
            pass
        except Exception as error:
            if "hostile" not in str(error):
                faults.append(f"{name}: {type(error).__name__}: {error!s:.100}")
        else:
            faults.append(f"{name}: it was taken")
    assert not faults


MISSING: dict[str, tuple[Callable[[], Any], str]] = {
    "a name": (lambda: oc.Provider(), "name"),  # type: ignore[call-arg]
    "a model's name": (lambda: oc.Model(), "name"),  # type: ignore[call-arg]
    "a protocol": (lambda: oc.Provider("mine", base_url="http://h/"), "protocol"),
    "an address": (lambda: oc.Provider("mine", protocol="openai-chat"), "base_url"),
    "a value": (lambda: oc.Secret(), "value"),  # type: ignore[call-arg]
    "the protocols": (lambda: FakeProviders(), "protocols"),  # type: ignore[call-arg]
}


@pytest.mark.parametrize("missing", MISSING)
def test_what_is_missing_is_told_by_its_name(missing: str) -> None:
    make, name = MISSING[missing]
    with pytest.raises((oc.ConfigError, TypeError), match=name):
        make()


@pytest.mark.parametrize("form", ["chat", "achat", "map"])
def test_a_missing_key_is_told_by_the_call_with_its_cure(form: str) -> None:
    import asyncio

    mine = oc.Provider("mine", protocol="openai-chat", base_url="https://example.invalid/v1")
    with oc.Engine(providers=[oc.Provider("openai"), mine]) as engine:
        for name, variable in (("openai", "OPENAI_API_KEY"), ("mine", "MINE_API_KEY")):
            with pytest.raises(oc.ConfigError, match=f"set {variable}"):
                if form == "chat":
                    engine.chat("Hi", model=f"{name}/m", timeout=5)
                elif form == "achat":
                    asyncio.run(engine.achat("Hi", model=f"{name}/m", timeout=5))
                else:
                    raise engine.map(["Hi"], model=f"{name}/m", timeout=5)[0]  # type: ignore[misc]


def test_an_engine_without_providers_says_what_to_do() -> None:
    with oc.Engine() as engine, pytest.raises((oc.ConfigError, oc.InvalidRequest), match="OPENAI_API_KEY"):
        engine.chat("Hi", model="openai/gpt-5-mini")


URLS = [
    "", " ", "x", "127.0.0.1", "127.0.0.1:80", "//host", "/v1", "http", "http:", "http:/", "http://", "http:///v1",
    "https://:443", "http://host:port", "http://host:", "http://host:0", "http://host:65536", "http://host:-1",
    "http://host:99999999999999999999", "ftp://host", "file:///etc/passwd", "gopher://host", "javascript:alert(1)",
    "unix:///tmp/s", "ws://host", "HTTP//host", "http//host", "http://ho st", "http://host/a b", "http://host\n",
    "http://host/\r\nx: y", "http://host\0", "http://host/\0", "http://höst/", "http://host/ü", "http://[::1", "http://::1/",
    "http://[::1]x", "http://[zz]", "http://[]", "http://%00/", "http://a%2fb/", "http://host#f", "http://host/v1#f",
    "http://host/v1?a=b", "http://host?", "http://user@host", "http://user:pw@host", "http://@host", "http://host\\x",
    "http://\\host", "http://host\t", "\thttp://host", "http://host/\ud800", "http://" + "a" * 300,
    "http://" + "a." * 1000, "http://host/" + "x" * 100_000, "http://http://host", "http://.", "http://-", "http://*", "http://host:80:80",
    "http://1.2.3.4.5", "http://0x7f.1", "http://256.256.256.256", "http://host;x", "http://ho\"st", "http://<host>",
    "http://host/v1/%zz",
]  # fmt: skip
# Whether these are addresses is a matter of taste: they may be taken, and then a call must end as it should.
TASTE = {
    "http://host:", "http://host/v1?a=b", "http://host?", "http://host/ü", "http://höst/", "http://" + "a" * 300,
    "http://" + "a." * 1000, "http://host/" + "x" * 100_000, "http://.", "http://-", "http://*", "http://1.2.3.4.5",
    "http://0x7f.1", "http://256.256.256.256", "http://host/v1/%zz", "http://a%2fb/", "http://host;x", "http://%00/",
    "http://http://host",
}  # fmt: skip


@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url)[:40])
def test_a_bad_address_is_refused_with_its_argument(url: str) -> None:
    try:
        provider = oc.Provider("mine", protocol="openai-chat", base_url=url, api_key="k", proxy="")
    except oc.ConfigError as error:
        assert str(error).startswith("base_url") or "base_url" in str(error)
        assert len(str(error)) < 1000 and "pw" not in str(error)
        str(error).encode()
        return
    assert url in TASTE, "it was taken"
    with oc.Engine(providers=[provider]) as engine:
        with pytest.raises(oc.OrchestraError) as caught:
            engine.chat("Hi", model="mine/m", timeout=oc.Timeout(total=2), retry=oc.Retry(attempts=1))
        assert str(caught.value)


@pytest.mark.parametrize("variable", ["MINE_BASE_URL", "OPENAI_BASE_URL"])
@pytest.mark.parametrize("url", ["nonsense", "http://user:pw@host", "http://host\n"])
def test_a_bad_address_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, url: str) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(oc.ConfigError) as caught:
        oc.Provider(variable.partition("_")[0].lower(), protocol="openai-chat")
    assert "pw" not in str(caught.value)


PROXIES = ["x y", "gopher://host:1", "http://", "http://host:port", "http://host:99999", "http://host\r\nx",
           "http://ho st:1", "file:///etc/passwd", "\0", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("proxy", PROXIES, ids=ascii)
def test_a_bad_proxy_is_refused_with_its_argument(proxy: str) -> None:
    with pytest.raises(oc.ConfigError, match="^proxy"):
        oc.Provider("openai", proxy=proxy)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_bad_proxy_of_the_environment_ends_as_an_error_of_the_call(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "nonsense://user:pw@host:port")
    provider = oc.Provider("mine", protocol="openai-chat", base_url="http://example.invalid/v1", api_key="k")
    with oc.Engine(providers=[provider]) as engine, pytest.raises(oc.OrchestraError) as caught:
        engine.chat("Hi", model="mine/m", timeout=oc.Timeout(total=3), retry=oc.Retry(attempts=1))
    assert "pw" not in str(caught.value)


NAMES = ["", " ", "a b", "a/b", "a\n", "a:b", "ü", "\ud800", "a\0", "x" * 100_000, "../x", "a,b", "${X}"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_a_bad_name_is_refused(name: str) -> None:
    if len(name) > 1000:
        oc.Provider(name, protocol="openai-chat", base_url="http://127.0.0.1:1")
        return
    with pytest.raises(oc.ConfigError, match="name"):
        oc.Provider(name, protocol="openai-chat", base_url="http://127.0.0.1:1")


HEADERS: dict[str, tuple[Any, str]] = {
    "a line break in a value": ({"x": "a\r\nb: c"}, "headers.x"),
    "a lone LF": ({"x": "a\nb"}, "headers.x"),
    "a lone CR": ({"x": "a\rb"}, "headers.x"),
    "a NUL": ({"x": "a\0b"}, "headers.x"),
    "a DEL": ({"x": "a\x7fb"}, "headers.x"),
    "no ASCII": ({"x": "ü"}, "headers.x"),
    "a surrogate": ({"x": "\ud800"}, "headers"),
    "a line break in a name": ({"x\r\ny": "a"}, "headers"),
    "a colon in a name": ({"x:": "a"}, "headers"),
    "a space in a name": ({"x y": "a"}, "headers"),
    "an empty name": ({"": "a"}, "headers"),
    "a surrogate in a name": ({"\ud800": "a"}, "headers"),
    "twice": ({"x-a": "1", "X-A": "2"}, "headers"),
    "content-length": ({"Content-Length": "7"}, "headers.Content-Length"),
    "transfer-encoding": ({"transfer-encoding": "chunked"}, "headers.transfer-encoding"),
    "None": ({"x": None}, "headers.x"),
    "a number": ({"x": 7}, "headers.x"),
    "bytes": ({"x": b"a"}, "headers.x"),
    "a function": ({"x": lambda: "a"}, "headers.x"),
    "pairs": ([("x", "a")], "headers"),
    "a Secret": (oc.Secret("k"), "headers"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_bad_header_is_refused_by_its_path(case: str) -> None:
    headers, place = HEADERS[case]
    with pytest.raises(oc.ConfigError) as caught:
        oc.Provider("openai", headers=headers)
    assert str(caught.value).startswith(place)


def test_secrets_refuse_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    for make in (
        lambda: oc.Secret.env("EMPTY"),
        lambda: oc.Secret.env("NOT_SET_ANYWHERE"),
        lambda: oc.Secret.env(""),
        lambda: oc.Secret.env("A=B"),
        lambda: oc.Secret.env("A\0B"),
        lambda: oc.Secret.env(7),  # type: ignore[arg-type]
        lambda: oc.Secret.file(tmp_path),
        lambda: oc.Secret.file(tmp_path / "absent"),
        lambda: oc.Secret.file("a\0b"),
        lambda: oc.Secret.file(object()),  # type: ignore[arg-type]
        lambda: oc.Secret.file(os.devnull),
    ):
        with pytest.raises((oc.ConfigError, TypeError)) as caught:
            make()
        assert str(caught.value)


TOML: dict[str, bytes] = {
    "nothing that is TOML": b"\x00\x01\x02",
    "no UTF-8": b'[engine]\nx = "\xff"\n',
    "a BOM of UTF-16": "[engine]".encode("utf-16"),
    "deep": b"x = " + b"[" * 10_000 + b"]" * 10_000,
    "deep tables": b"[" + b".".join([b"a"] * 3_000) + b"]\n",
    "a huge number": b"[engine]\nseed = " + b"9" * 10_000 + b"\n",
    "a provider that is no table": b"provider = 7\n",
    "providers that are no tables": b"provider = [1, 2]\n",
    "an unknown section": b"[engin]\n",
    "a date": b"[[provider]]\nname = 1979-05-27\n",
    "infinity": b'[[model]]\nname = "a/b"\nquality = inf\n',
    "a NUL in a text": b'[[provider]]\nname = "a\\u0000"\n',
    "a line of a megabyte": b'[[provider]]\nname = "' + b"x" * 1_000_000 + b"\n",
}


@pytest.mark.parametrize("case", TOML)
def test_a_bad_file_is_refused_with_its_path(tmp_path: Path, case: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(TOML[case])
    with pytest.raises(oc.ConfigError) as caught:
        oc.Engine.load(path)
    assert str(caught.value).startswith(str(path)) and len(str(caught.value)) < 2000


@pytest.mark.parametrize("path", ["absent.toml", ".", "a\0b", b"absent.toml", None, 1.5], ids=ascii)
def test_a_file_that_cannot_be_read_is_refused(path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((oc.ConfigError, TypeError, OSError)) as caught:
        oc.Engine.load(path)
    assert str(caught.value)


@pytest.mark.parametrize("read", [oc.Engine.load, oc.Secret.file])
def test_a_number_is_no_path_and_its_descriptor_stays_open(read: Callable[[Any], Any]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"[engine]\n")
    os.close(writing)
    try:
        with pytest.raises((oc.ConfigError, TypeError)):
            read(reading)
        os.fstat(reading)
    finally:
        os.close(reading)


@pytest.mark.parametrize("wrong", [-1, "soon", None, True, float("nan"), [], 1j, [1]], ids=ascii)
def test_a_wrong_timeout_of_close_is_refused_and_the_engine_lives(wrong: Any) -> None:
    with oc.Engine(providers=[]) as engine:
        with pytest.raises((oc.InvalidRequest, TypeError), match="timeout"):
            engine.close(wrong)
        assert not engine.closed


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 10**300], ids=lambda one: f"{len(str(one))} digits")
def test_a_close_that_may_wait_for_ever_ends_when_nothing_runs(seconds: float) -> None:
    engine = oc.Engine(providers=[])
    engine.close(seconds)
    assert engine.closed


FAKES: dict[str, Callable[[], Any]] = {
    "no protocol": lambda: FakeProviders(["smoke"]),
    "a protocol of bytes": lambda: FakeProviders([b"openai-chat"]),  # type: ignore[list-item]
    "a latency below 0": lambda: FakeProviders(["openai-chat"], latency=-1),
    "a latency of a str": lambda: FakeProviders(["openai-chat"], latency="slow"),  # type: ignore[arg-type]
    "a fault that is none": lambda: FakeProviders(["openai-chat"], faults=["cut"]),  # type: ignore[list-item]
    "a status that is none": lambda: Fault.status(99),
    "seconds below 0": lambda: Fault.stall(seconds=-1),
    "every 0": lambda: Fault.garbage(every=0),
    "a kind that is none": lambda: Fault("explode"),
    "a NaN": lambda: Fault.stall(seconds=float("nan")),
}


@pytest.mark.parametrize("case", FAKES)
def test_a_wrong_double_is_refused(case: str) -> None:
    with pytest.raises((oc.ConfigError, TypeError)) as caught:
        FAKES[case]()
    assert str(caught.value)


def test_updates_that_are_wrong_change_nothing() -> None:
    with oc.Engine(providers=[oc.Provider("openai", api_key="k")]) as engine:
        before = engine.config()
        for wrong in (7, "openai", b"x", [None], [oc.Model("a/b")], {"openai": 1}, object(), itself(), [[]]):
            for name in ("providers", "models"):
                with pytest.raises((oc.ConfigError, TypeError)):
                    engine.update(**{name: [oc.Provider("groq")] if (name, wrong) == ("models", 7) else wrong})  # type: ignore[arg-type]
                    if wrong == [oc.Model("a/b")] and name == "models":
                        raise TypeError("that one is right")
        engine.update(models=[])
        assert engine.config() == before
