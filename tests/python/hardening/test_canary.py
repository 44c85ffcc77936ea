"""A key shows nowhere: whatever way it came in, whatever goes wrong, wherever one looks."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Canned

CANARY = "sk-CANARY-7f3a91c2d5e84b60"
MODEL = "up/m-1"
# The forms in which it could leak: as it is, in the Basic scheme, percent-encoded, turned into JSON or bytes.
FORMS = [
    CANARY,
    base64.b64encode(f"user:{CANARY}".encode()).decode()[:24],
    urllib.parse.quote(CANARY, safe=""),
    CANARY.encode().hex(),
    CANARY[:14],
    CANARY[-10:],
]


def leaks(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def provider(canned: Canned, **arguments: Any) -> oc.Provider:
    return oc.Provider("up", **({"protocol": "openai-chat", "base_url": canned.url} | arguments))


def from_toml(canned: Canned, folder: Path, line: str) -> oc.Engine:
    path = folder / "orchestra.toml"
    path.write_text(
        f'[[provider]]\nname = "up"\nprotocol = "openai-chat"\nbase_url = "{canned.url}"\n{line}\n', encoding="utf-8"
    )
    return oc.Engine.load(path)


Source = Callable[["Canned", Path, pytest.MonkeyPatch], oc.Engine]


def of(**arguments: Any) -> Source:
    return lambda canned, folder, monkeypatch: oc.Engine(providers=[provider(canned, **arguments)])


def in_environment(canned: Canned, folder: Path, monkeypatch: pytest.MonkeyPatch) -> oc.Engine:
    monkeypatch.setenv("UP_API_KEY", CANARY)
    return oc.Engine(providers=[provider(canned)])


def in_toml_by_variable(canned: Canned, folder: Path, monkeypatch: pytest.MonkeyPatch) -> oc.Engine:
    monkeypatch.setenv("SOME_VARIABLE", CANARY)
    return from_toml(canned, folder, 'api_key = "${SOME_VARIABLE}"')


def by_proxy(canned: Canned, folder: Path, monkeypatch: pytest.MonkeyPatch) -> oc.Engine:
    return oc.Engine(providers=[provider(canned, proxy=f"http://user:{CANARY}@127.0.0.1:{canned.port}")])


def by_update(canned: Canned, folder: Path, monkeypatch: pytest.MonkeyPatch) -> oc.Engine:
    engine = oc.Engine(providers=[])
    engine.update(providers=[provider(canned, api_key=CANARY)])
    return engine


SOURCES: dict[str, Source] = {
    "a str": of(api_key=CANARY),
    "a Secret": of(api_key=oc.Secret(CANARY)),
    "a function": of(api_key=lambda: CANARY),
    "a function of a Secret": of(api_key=lambda: oc.Secret(CANARY)),
    "a Secret in a header": of(api_key="k", headers={"X-Token": oc.Secret(CANARY)}),
    "a plain header": of(headers={"Authorization": f"Bearer {CANARY}"}),
    "the environment": in_environment,
    "a file": lambda canned, folder, _: from_toml(canned, folder, f'api_key = "{CANARY}"'),
    "a file's header": lambda canned, folder, _: from_toml(canned, folder, f'headers = {{"X-Api-Key" = "{CANARY}"}}'),
    "a file's variable": in_toml_by_variable,
    "a proxy": by_proxy,
    "an update": by_update,
}


@pytest.fixture(params=list(SOURCES))
def engine(
    request: pytest.FixtureRequest, canned: Canned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[oc.Engine]:
    with SOURCES[request.param](canned, tmp_path, monkeypatch) as made:
        yield made
        made.close(0)


def locals_of(error: BaseException) -> str:
    """The locals of our frames, as a debugger or an error reporter shows them, causes included."""
    parts, seen, chain = [], set(), [error]
    while chain:
        one = chain.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for frame, _ in traceback.walk_tb(one.__traceback__):
            name = frame.f_code.co_filename
            if f"{os.sep}orchestra{os.sep}" not in name or "tests" in name:
                continue
            for variable, value in frame.f_locals.items():
                try:
                    parts.append(f"{frame.f_code.co_name}: {variable} = {value!r}")
                except AttributeError:
                    parts.append(f"{frame.f_code.co_name}: {variable} is half made")
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(parts)


def shown_by(error: BaseException) -> str:
    """All that can be seen of an exception but the locals: its text, its fields, its causes, its pickle."""
    parts = [str(error), repr(error), repr(error.args), repr(vars(error)), repr(getattr(error, "__notes__", ""))]
    for name in ("body", "attempts", "partial", "candidates"):
        parts.append(repr(getattr(error, name, None)))
    for attempt in getattr(error, "attempts", ()):
        parts += [repr(getattr(attempt, name)) for name in dir(attempt) if not name.startswith("_")]
    partial = getattr(error, "partial", None)
    if partial is not None:
        parts += [repr(partial.headers), repr(partial.attempts)]
    sink = io.StringIO()
    traceback.print_exception(error, file=sink)
    parts.append(sink.getvalue())
    data = pickle.dumps(error)
    return "\n".join(parts) + data.decode("latin-1")


def echoing(canned: Canned, how: str) -> None:
    """The provider sends back what it was sent: in an error's sentence, in its body, in headers, in a cut answer."""

    def say(request: bytes) -> Any:
        head = request.split(b"\r\n\r\n")[0].decode("latin-1")
        told = f"Incorrect API key provided: {CANARY}. You sent: {head}"
        error = json.dumps({"error": {"message": told, "type": "x", "code": CANARY, "param": CANARY}}).encode()
        if how.isdigit():
            body, status = error, int(how)
        elif how == "plain text":
            body, status = told.encode(), 502
        elif how == "no JSON":
            body, status = told.encode(), 200
        elif how == "redirect":
            return (
                f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/?key={CANARY}\r\ncontent-length: 0\r\n\r\n"
            ).encode()
        elif how == "cut":
            return b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + told.encode()
        elif how == "garbage":
            return told.encode() + b"\r\n\r\n"
        elif how == "bad header":
            return b"HTTP/1.1 200 OK\r\n" + CANARY.encode() + b"\r\n\r\n"
        elif how == "an error in a stream":
            data = b"data: " + error + b"\n\n"
            return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s" % (
                len(data),
                data,
            )
        elif how == "a bad event":
            data = b"data: {" + CANARY.encode() + b"\n\n"
            return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s" % (
                len(data),
                data,
            )
        else:
            return b""
        lines = f"HTTP/1.1 {status} {CANARY}\r\nx-echo: {CANARY}\r\nwww-authenticate: Bearer {CANARY}\r\n"
        return f"{lines}content-length: {len(body)}\r\n\r\n".encode() + body

    canned.say = say


HOW = [
    *("400", "401", "403", "404", "413", "422", "429", "500", "503", "407"),
    *(
        "plain text",
        "no JSON",
        "redirect",
        "cut",
        "garbage",
        "bad header",
        "an error in a stream",
        "a bad event",
        "reset",
    ),
]


def test_no_error_and_no_log_shows_the_key(engine: oc.Engine, canned: Canned, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    once = {"model": MODEL, "retry": oc.Retry(attempts=1), "timeout": 5}

    async def achat() -> None:
        await engine.achat("Hi", **once)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for how in HOW:
            echoing(canned, how)
            for call in (
                lambda: engine.chat("Hi", **once),
                lambda: list(engine.stream("Hi", **once)),
                lambda: asyncio.run(achat()),
            ):
                with pytest.raises(oc.OrchestraError) as caught:
                    call()
                assert not leaks(shown_by(caught.value)), (how, shown_by(caught.value))
                assert not leaks(locals_of(caught.value)), (how, locals_of(caught.value))
            batch = engine.map(["Hi"], **once)
            assert not leaks(repr(batch) + repr(list(batch)) + shown_by(batch[0]))  # type: ignore[arg-type]
        echoing(canned, "503")
        with pytest.raises(oc.OrchestraError) as caught:
            engine.chat("Hi", model=[MODEL, "up/m-2"], retry=oc.Retry(attempts=2), timeout=5)
        assert not leaks(shown_by(caught.value))
    sent = b"".join(canned.requests).decode("latin-1")
    assert CANARY in sent or FORMS[1] in sent, "the key must have been sent, else this proves nothing"
    logged = caplog.text + repr([vars(record) for record in caplog.records])
    assert not leaks(logged)
    assert not leaks(repr([str(one.message) for one in warned]))


def test_nothing_that_can_be_looked_at_shows_the_key(engine: oc.Engine, canned: Canned) -> None:
    body = b'{"model": "m", "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}'
    canned.say = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    reply = engine.chat("Hi", model=MODEL)
    shown = [repr(engine), str(engine), f"{engine}", repr(engine.config()), json.dumps(engine.config())]
    shown += [repr(engine.stats()), repr(reply), repr(reply.headers), repr(reply.attempts), repr(reply.raw)]
    for one in engine._providers:
        shown += [
            repr(one),
            str(one),
            f"{one}",
            repr(one.config()),
            repr(one.api_key),
            repr([one]),
            f"{one.api_key!s:>40}",
        ]
    # The dict of the engine holds its secrets only as objects that hide themselves.
    shown.append(repr(vars(engine)))
    assert not leaks("\n".join(shown))
    for one in (engine, *engine._providers, *engine._secrets):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            assert CANARY.encode() not in pickle.dumps(one)
            raise TypeError("a function of this module may pickle by its name")


# ---- what is refused must not be shown either


WRONG: dict[str, Callable[[Path], Any]] = {
    "a line break": lambda _: oc.Provider("openai", api_key=CANARY + "\n"),
    "a line break in a Secret": lambda _: oc.Provider("openai", api_key=oc.Secret(CANARY + "\r\nx: y")),
    "a NUL": lambda _: oc.Provider("openai", api_key=CANARY + "\0"),
    "no ASCII": lambda _: oc.Provider("openai", api_key=CANARY + "ü"),
    "a lone surrogate": lambda _: oc.Provider("openai", api_key=CANARY + "\ud800"),
    "bytes": lambda _: oc.Provider("openai", api_key=CANARY.encode()),  # type: ignore[arg-type]
    "a list": lambda _: oc.Provider("openai", api_key=[CANARY]),  # type: ignore[arg-type]
    "a Secret of bytes": lambda _: oc.Secret(CANARY.encode()),  # type: ignore[arg-type]
    "a Secret of a list": lambda _: oc.Secret([CANARY]),  # type: ignore[arg-type]
    "a header with a line break": lambda _: oc.Provider("openai", headers={"Authorization": f"{CANARY}\r\nx: y"}),
    "a Secret with a line break in a header": lambda _: oc.Engine(
        providers=[oc.Provider("openai", headers={"X-Key": oc.Secret(CANARY + "\n")})]
    ),
    "a header of a list": lambda _: oc.Provider("openai", headers={"Authorization": [CANARY]}),  # type: ignore[dict-item]
    "an option that it does not have": lambda _: oc.Provider("openai", apikey=CANARY),
    "an option of a list": lambda _: oc.Provider("openai", apikeys=[CANARY, object()]),
    "an address with a user": lambda _: oc.Provider("openai", base_url=f"https://user:{CANARY}@127.0.0.1/v1"),
    "an address with a query": lambda _: oc.Provider("openai", base_url=f"https://127.0.0.1/v1?key={CANARY}"),
    "an address that is none": lambda _: oc.Provider("openai", base_url=f"htp://user:{CANARY}@host"),
    "a proxy that is none": lambda _: oc.Provider("openai", proxy=f"gopher://user:{CANARY}@host:1"),
    "a proxy of bytes": lambda _: oc.Provider("openai", proxy=f"http://user:{CANARY}@host:1".encode()),  # type: ignore[arg-type]
    "a wrong model beside it": lambda _: oc.Engine(
        providers=[oc.Provider("openai", api_key=CANARY)],
        models=["wrong"],  # type: ignore[list-item]
    ),
    "the same provider twice": lambda _: oc.Engine(providers=[oc.Provider("openai", api_key=CANARY)] * 2),
    "a wrong update": lambda _: oc.Engine(providers=[oc.Provider("openai", api_key=CANARY)]).update(models=[7]),  # type: ignore[list-item]
    "a Secret as a name": lambda _: oc.Provider(oc.Secret(CANARY)),  # type: ignore[arg-type]
    "a Secret as an address": lambda _: oc.Provider("openai", base_url=oc.Secret(CANARY)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_key_that_is_refused_is_not_shown(wrong: str, tmp_path: Path) -> None:
    with pytest.raises((oc.ConfigError, TypeError)) as caught:
        WRONG[wrong](tmp_path)
    assert not leaks(shown_by(caught.value)), shown_by(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        "a line break",
        "bytes",
        "a Secret of bytes",
        "a wrong model beside it",
        "a header with a line break",
        "an option that it does not have",
        "an address with a user",
        "a proxy that is none",
    ],
)
def test_a_key_that_is_refused_stands_in_no_local_variable_of_ours(wrong: str, tmp_path: Path) -> None:
    """What error reporters attach to an exception."""
    with pytest.raises((oc.ConfigError, TypeError)) as caught:
        WRONG[wrong](tmp_path)
    assert not leaks(locals_of(caught.value)), locals_of(caught.value)


def test_a_traceback_with_locals_of_a_wrong_provider_can_be_shown() -> None:
    """Before Python 3.12 a repr that raises there hides the error itself."""
    with pytest.raises(oc.ConfigError) as caught:
        oc.Provider("openai", api_key="")
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "api_key" in "".join(told.format())


LINES = {
    "not closed": f'api_key = "{CANARY}',
    "no quotes": f"api_key = {CANARY}",
    "a misspelled name": f'api_kye = "{CANARY}"',
    "a list": f'api_key = ["{CANARY}"]',
    "a table": f'api_key = {{value = "{CANARY}"}}',
    "twice": f'api_key = "{CANARY}"\napi_key = "{CANARY}"',
    "a line break": f'api_key = "{CANARY}\\n"',
    "an escape that is none": f'api_key = "{CANARY}\\q"',
    "a variable not closed": f'api_key = "{CANARY}${{X"',
    "a variable not set": f'api_key = "{CANARY}${{NOT_SET_ANYWHERE}}"',
    "a default nested": f'api_key = "${{X:-{CANARY}${{Y}}}}"',
    "a header of a list": f'headers = {{Authorization = ["{CANARY}"]}}',
    "a header with a line break": f'headers = {{Authorization = "{CANARY}\\r\\nx"}}',
    "an address with a user": f'region = "{CANARY}\\u0000"\napi_key = "{CANARY}"\nbase_url = "http://u:{CANARY}@h/"',
    "a section that is none": f'api_key = "{CANARY}"\n[[providr]]\napi_key = "{CANARY}"',
    "an option that it does not have": f'token = "{CANARY}"',
}


@pytest.mark.parametrize("line", LINES)
def test_a_file_that_is_refused_does_not_show_its_key(line: str, canned: Canned, tmp_path: Path) -> None:
    with pytest.raises(oc.ConfigError) as caught:
        from_toml(canned, tmp_path, LINES[line])
    assert not leaks(shown_by(caught.value)), shown_by(caught.value)
    assert "orchestra.toml:" in str(caught.value)


@pytest.mark.parametrize("line", ["not closed", "a misspelled name", "a header with a line break"])
def test_a_file_that_is_refused_stands_in_no_local_variable_of_ours(line: str, canned: Canned, tmp_path: Path) -> None:
    with pytest.raises(oc.ConfigError) as caught:
        from_toml(canned, tmp_path, LINES[line])
    assert not leaks(locals_of(caught.value)), locals_of(caught.value)


def _raises() -> str:
    raise RuntimeError(f"vault says {CANARY}")


def _not_a_str() -> Any:
    return [CANARY]


def _exit() -> str:
    raise SystemExit(CANARY)


DYNAMIC: dict[str, Any] = {
    "raises": _raises,
    "gives a list": _not_a_str,
    "gives bytes": lambda: CANARY.encode(),
    "gives a line break": lambda: CANARY + "\n",
    "exits": _exit,
}


@pytest.mark.parametrize("kind", DYNAMIC)
def test_a_function_that_fails_is_told_without_its_value(
    kind: str, canned: Canned, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with oc.Engine(providers=[provider(canned, api_key=DYNAMIC[kind])]) as engine:
        for call in (
            lambda: engine.chat("Hi", model=MODEL, timeout=5),
            lambda: list(engine.stream("Hi", model=MODEL, timeout=5)),
            lambda: asyncio.run(engine.achat("Hi", model=MODEL, timeout=5)),
        ):
            with pytest.raises(oc.ConfigError) as caught:
                call()
            assert not leaks(shown_by(caught.value)), shown_by(caught.value)
            assert "api_key" in str(caught.value)
    assert not canned.requests and not leaks(caplog.text)


# ---- other processes


SCRIPT = f"""
import faulthandler, logging, os, sys, threading, warnings
import orchestra as oc
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
warnings.simplefilter("always")
key, headers = "{CANARY}", {{"X-Key": oc.Secret("{CANARY}")}}
p = oc.Provider("up", protocol="openai-chat", base_url=sys.argv[1], api_key=key, headers=headers)
engine = oc.Engine(providers=[p])
"""


def script(canned: Canned, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = ["-X", "dev", *options, "-c", SCRIPT + source, canned.url]
    return subprocess.run([sys.executable, *path], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "crash",
    [
        "faulthandler._sigsegv()",
        "faulthandler._sigabrt()",
        "os.kill(os.getpid(), 11)",
        "faulthandler._fatal_error_c_thread()",
    ],
)
def test_a_crash_says_nothing_of_the_key_on_stderr(canned: Canned, crash: str) -> None:
    """Only what the process writes is looked at. A core file, where they are allowed, holds the key: nothing here
    keeps the memory of the process out of it."""
    canned.say = lambda request: [b"HTTP/1.1 200 OK\r\n", *iter(lambda: b"", None)] if b"hang" in request else b""
    done = script(
        canned,
        "threading.Thread(target=lambda: engine.chat('retry', model='up/m-1', timeout=5), daemon=True).start()\n"
        "try:\n    engine.chat('Hi', model='up/m-1', timeout=5, retry=oc.Retry(attempts=1))\n"
        "except oc.OrchestraError as error:\n    print(repr(error), file=sys.stderr)\n"
        f"{crash}\n",
    )
    assert done.returncode < 0 and "Fatal Python error" in done.stderr
    assert not leaks(done.stderr + done.stdout)


def test_an_exception_that_nobody_catches_says_nothing_of_the_key(canned: Canned) -> None:
    echoing(canned, "401")
    done = script(canned, "engine.chat('Hi', model='up/m-1', timeout=5)")
    assert done.returncode == 1 and "AuthenticationError" in done.stderr
    # The line of the script that holds it is Python's to show; the script comes by -c, of which it shows none.
    assert not leaks(done.stderr + done.stdout)


@pytest.fixture
def command(canned: Canned, tmp_path: Path) -> Callable[..., str]:
    """command(*arguments): `python -m orchestra` in a folder whose file and environment hold the key; all it wrote."""
    (tmp_path / "orchestra.toml").write_text(
        f'[[provider]]\nname = "up"\nprotocol = "openai-chat"\nbase_url = "{canned.url}"\napi_key = "{CANARY}"\n'
        f'headers = {{"X-Api-Key" = "{CANARY}"}}\nproxy = ""\n'
    )
    (tmp_path / "rows.jsonl").write_text('{"messages": "Hi"}\n')
    keys = {f"{name}_API_KEY": CANARY for name in ("OPENAI", "ANTHROPIC", "UP", "GROQ")}
    proxies = {"HTTPS_PROXY": f"http://user:{CANARY}@127.0.0.1:9", "no_proxy": "127.0.0.1"}

    def run(*arguments: str, codes: tuple[int, ...] = (0, 1, 2)) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "orchestra", *arguments],
            env=os.environ | keys | proxies,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode in codes, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor",),
        ("doctor", "--json"),
        ("models",),
        ("--version",),
        ("chat", "Hi", "--model", MODEL),
        ("chat", "Hi", "--model", MODEL, "--json"),
        ("chat", "Hi", "--model", MODEL, "--stream"),
        ("map", "rows.jsonl", "--model", MODEL),
        ("chat", "Hi", "--model", "nowhere/x"),
        ("chat", "Hi", "--model", "openai"),
        ("chat", "Hi"),
    ],
    ids=" ".join,
)
def test_no_command_shows_the_key(command: Callable[..., str], canned: Canned, arguments: tuple[str, ...]) -> None:
    echoing(canned, "401")
    written = command(*arguments)
    assert written and not leaks(written), written


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("doctor", "not closed"),
        ("doctor", "an address with a user"),
        ("chat", "a misspelled name"),
        ("chat", "a header with a line break"),
    ],
)
def test_no_command_shows_the_key_of_a_wrong_file(
    command: Callable[..., str], tmp_path: Path, line: str, name: str
) -> None:
    (tmp_path / "orchestra.toml").write_text(f'[[provider]]\nname = "openai"\n{LINES[line]}\n')
    written = command(name, *(["Hi", "--model", MODEL] if name == "chat" else []), codes=(1, 2))
    assert written and not leaks(written), written


def test_the_environment_of_a_started_program_gets_no_key_that_was_not_there(canned: Canned) -> None:
    done = script(
        canned,
        "import subprocess\ntry:\n    engine.chat('Hi', model='up/m-1', timeout=5, retry=oc.Retry(attempts=1))\n"
        "except oc.OrchestraError:\n    pass\n"
        "print(subprocess.run(['env'], capture_output=True, text=True).stdout)",
    )
    assert done.returncode == 0 and "PATH" in done.stdout and not leaks(done.stdout)
