"""Whatever bytes a provider sends as HTTP, by either transport: a reply or a typed error, no hang, memory bounded."""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Canned

MODEL = "up/m-1"
MB = 2**20
Ask = Callable[..., Any]
ONCE = {"retry": oc.Retry(attempts=1), "timeout": oc.Timeout(total=10, first_token=3, idle=2)}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}


@pytest.fixture(params=["own", "curl"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def body(**more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m-1", "choices": [CHOICE], **more}


def answer(data: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {len(data)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


def outcome(ask: Ask) -> Any:
    """The reply, or the typed error."""
    try:
        return ask("Hi", **ONCE)
    except oc.OrchestraError as error:
        assert 1 < len(str(error)) < 2000, repr(error)
        repr(error), repr(error.attempts), error.body
        return error


def limited(what: Any, *limits: str) -> None:
    """A ProtocolError that names the limit, by its name or its value."""
    assert isinstance(what, oc.ProtocolError), repr(what)
    assert any(limit in str(what) for limit in limits), str(what)


# ---- limits, at the limit and above


def test_a_body_of_64_mb_is_read_and_one_byte_more_is_refused(ask_two: Ask, canned: Canned) -> None:
    empty = json.dumps(body(x="")).encode()

    def sized(size: int) -> Callable[[bytes], Iterator[bytes]]:
        def say(request: bytes) -> Iterator[bytes]:
            yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
            yield empty[:-2]
            left = size - len(empty)
            while left:
                yield b"x" * min(left, 4 * MB)
                left -= min(left, 4 * MB)
            yield empty[-2:]

        return say

    canned.say = sized(64 * MB)
    assert ask_two("Hi", **ONCE).text == "ok"
    canned.say = sized(64 * MB + 1)
    limited(outcome(ask_two), "64 MB", "`body` of 67108864")


def test_a_body_without_length_and_without_end_is_refused(engine: oc.Engine, canned: Canned) -> None:
    def say(request: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        while True:
            yield b"%x\r\n%s\r\n" % (4 * MB, b" " * 4 * MB)

    canned.say = say
    with pytest.raises(oc.ProtocolError, match="64 MB|`body` of 67108864"):
        engine.chat("Hi", model=MODEL, **ONCE)


@pytest.mark.parametrize("form", ["one header", "many headers", "the status line"])
def test_a_head_has_64_kb(ask_two: Ask, canned: Canned, form: str) -> None:
    data = json.dumps(body()).encode()
    if form == "one header":
        canned.say = lambda request: answer(data, "x: " + "a" * 70_000)
    elif form == "many headers":
        canned.say = lambda request: answer(data, *(f"x-{i}: " + "a" * 1000 for i in range(70)))
    else:
        canned.say = lambda request: b"HTTP/1.1 200 " + b"a" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n"
    limited(outcome(ask_two), "64 KB", "`head_bytes` of 65536")


@pytest.mark.parametrize(("lines", "fits"), [(120, True), (200, False)])
def test_a_head_has_128_lines(ask_two: Ask, canned: Canned, lines: int, fits: bool) -> None:
    canned.say = lambda request: answer(json.dumps(body()).encode(), *(f"x-{i}: a" for i in range(lines)))
    what = outcome(ask_two)
    if fits:
        assert what.text == "ok" and len(what.headers) >= lines
    else:
        limited(what, "128 lines", "`head_lines` of 128")


def test_a_head_that_never_ends_is_refused(engine: oc.Engine, canned: Canned) -> None:
    def say(request: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        number = 0
        while True:
            number += 1
            yield b"x-%d: %s\r\n" % (number, b"a" * 200)

    canned.say = say
    with pytest.raises(oc.ProtocolError):
        engine.chat("Hi", model=MODEL, **ONCE)


def test_an_endless_row_of_interim_answers_is_refused(ask_two: Ask, canned: Canned) -> None:
    def say(request: bytes) -> Iterator[bytes]:
        while True:
            yield b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" * 100

    canned.say = say
    assert isinstance(outcome(ask_two), oc.ProtocolError | oc.TransportError)


@functools.cache
def bomb(kind: str) -> bytes:
    """Spaces of 50 MB, which are 50 kB."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31 if "gzip" in kind else 15)
    data = deflater.compress(b" " * (50 * MB)) + deflater.flush()
    return gzip.compress(data) if kind == "gzip, gzip" else data


@pytest.mark.parametrize("kind", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "compress", "x-unknown"])
def test_a_compressed_body_is_read_or_refused_and_a_bomb_never_swells(
    engine: oc.Engine, canned: Canned, kind: str
) -> None:
    data = bomb(kind)
    canned.say = lambda request: answer(data, f"content-encoding: {kind}")
    with pytest.raises(oc.OrchestraError) as caught:
        engine.chat("Hi", model=MODEL, **ONCE)
    assert isinstance(caught.value, oc.ProtocolError | oc.TransportError), repr(caught.value)


@pytest.mark.parametrize("damage", ["cut", "wrong checksum", "not compressed", "trailing bytes"])
def test_damaged_gzip_is_refused(engine: oc.Engine, canned: Canned, damage: str) -> None:
    data = gzip.compress(json.dumps(body()).encode())
    data = {
        "cut": data[:-12],
        "wrong checksum": data[:-8] + bytes(8),
        "not compressed": b"{}",
        "trailing bytes": data + b"more",
    }[damage]
    canned.say = lambda request: answer(data, "content-encoding: gzip")
    what = outcome(lambda text, **options: engine.chat(text, model=MODEL, **options))
    assert isinstance(what, oc.ProtocolError | oc.TransportError) or damage == "trailing bytes", repr(what)


# ---- HTTP that is none


OK = json.dumps(body()).encode()
LENGTH = b"content-length: %d\r\n" % len(OK)
HTTP: dict[str, tuple[bytes, str]] = {
    # what is sent; "error" where no reply may come of it, "any" where both are right
    "nothing": (b"", "error"),
    "a line break": (b"\r\n\r\n", "error"),
    "HTTP/0.9": (OK, "error"),
    "no version": (b"200 OK\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "HTTP/3.7": (b"HTTP/3.7 200 OK\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "a status of letters": (b"HTTP/1.1 abc OK\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "a status of 000": (b"HTTP/1.1 000 OK\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "a status of 999": (b"HTTP/1.1 999 OK\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "a status of 99999": (b"HTTP/1.1 99999 OK\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "a negative status": (b"HTTP/1.1 -200 OK\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "204": (b"HTTP/1.1 204 No\r\n\r\n", "error"),
    "101": (b"HTTP/1.1 101 Switch\r\nupgrade: x\r\n\r\n", "error"),
    "a redirect": (b"HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "error"),
    "a redirect to itself": (b"HTTP/1.1 307 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "error"),
    "a redirect to a file": (
        b"HTTP/1.1 302 Moved\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n",
        "error",
    ),
    "a header without colon": (b"HTTP/1.1 200 OK\r\nnonsense\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "a header without name": (b"HTTP/1.1 200 OK\r\n: x\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "a space before the colon": (b"HTTP/1.1 200 OK\r\nx : y\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "a folded header": (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "a NUL in a header": (b"HTTP/1.1 200 OK\r\nx: a\0b\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "a lone CR in a header": (b"HTTP/1.1 200 OK\r\nx: a\rb\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "bytes above 127 in a header": (b"HTTP/1.1 200 OK\r\nx: \xff\xfe\r\n" + LENGTH + b"\r\n" + OK, "any"),
    "line feeds alone": (b"HTTP/1.1 200 OK\n" + LENGTH.replace(b"\r", b"") + b"\n" + OK, "any"),
    "a length of letters": (b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n" + OK, "error"),
    "a negative length": (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n" + OK, "error"),
    "a length with a sign": (b"HTTP/1.1 200 OK\r\ncontent-length: +%d\r\n\r\n" % len(OK) + OK, "any"),
    "a huge length": (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n" + OK, "error"),
    "2^63": (b"HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775808\r\n\r\n" + OK, "error"),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n" + LENGTH + b"\r\n" + OK, "error"),
    "a length too long": (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + OK, "error"),
    "a length too short": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + OK, "error"),
    "chunked and a length": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (len(OK), OK),
        "any",
    ),
    "a coding that is none": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: magic\r\n\r\n" + OK, "error"),
    "a chunk size of letters": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n" + OK, "error"),
    "a negative chunk size": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n" + OK, "error"),
    "a huge chunk size": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + OK, "error"),
    "a chunk without its end": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%sXX0\r\n\r\n" % (len(OK), OK),
        "error",
    ),
    "no last chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(OK), OK), "any"),
    "a long chunk extension": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x;%s\r\n%s\r\n0\r\n\r\n"
        % (len(OK), b"a" * 100_000, OK),
        "any",
    ),
    "no length at all": (b"HTTP/1.1 200 OK\r\n\r\n" + OK, "any"),
    "another body behind": (b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + OK + b"HTTP/1.1 200 OK\r\n\r\n", "any"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), "error"),
    "HTTP/2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80", "error"),
    "HTML": (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>", "error"),
    "a retry-after of years": (
        b"HTTP/1.1 429 Slow\r\nretry-after: 99999999999999999999\r\ncontent-length: 0\r\n\r\n",
        "error",
    ),
    "a retry-after of noise": (b"HTTP/1.1 429 Slow\r\nretry-after: \xff,-1e999\r\ncontent-length: 0\r\n\r\n", "error"),
}


@pytest.mark.parametrize("case", HTTP)
def test_http_that_is_none_is_a_typed_error_and_the_engine_lives(ask_two: Ask, canned: Canned, case: str) -> None:
    data, expected = HTTP[case]
    canned.say = lambda request: data
    what = outcome(ask_two)
    if expected == "error":
        assert isinstance(what, oc.OrchestraError), repr(what)
    elif not isinstance(what, oc.OrchestraError):
        assert what.text == "ok"
    canned.say = lambda request: answer(OK)
    assert ask_two("Hi").text == "ok"


def test_a_server_that_drips_one_byte_at_a_time_is_read(engine: oc.Engine, canned: Canned) -> None:
    data = answer(OK)
    canned.say = lambda request: (data[place : place + 1] for place in range(len(data)))
    assert engine.chat("Hi", model=MODEL, **ONCE).text == "ok"
