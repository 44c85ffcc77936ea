"""No connection, or one that is not to be trusted: a typed error that names the provider, soon, by every form."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Canned, Certificates

MODEL = "up/m-1"
ONCE = {"model": MODEL, "retry": oc.Retry(attempts=1), "timeout": oc.Timeout(total=5, connect=3)}


EngineFor = Callable[..., oc.Engine]


@pytest.fixture(params=["own", "curl"])
def engine_for(request: pytest.FixtureRequest) -> EngineFor:
    """engine_for(url, ...): an engine whose provider is there; by either transport."""

    def make(url: str, **arguments: Any) -> oc.Engine:
        arguments = {"api_key": "k", "proxy": "", "transport": request.param} | arguments
        return oc.Engine(providers=[oc.Provider("up", protocol="openai-chat", base_url=url, **arguments)])

    return make


def failures(engine: oc.Engine, **options: Any) -> list[oc.OrchestraError]:
    """The errors of chat, achat and stream."""
    options = ONCE | options
    found = []
    for call in (
        lambda: engine.chat("Hi", **options),
        lambda: asyncio.run(engine.achat("Hi", **options)),
        lambda: list(engine.stream("Hi", **options)),
    ):
        with pytest.raises(oc.OrchestraError) as caught:
            call()
        found.append(caught.value)
    return found


def check(errors: list[oc.OrchestraError], *kinds: type[oc.OrchestraError]) -> None:
    for error in errors:
        assert isinstance(error, kinds), repr(error)
        assert error.provider == "up" and error.model == MODEL and error.attempts, repr(error)
        assert 5 < len(str(error)) < 1000 and str(error.attempts[-1].error), repr(error)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that refuses: it is bound, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_port_that_refuses(free_port: int, engine_for: EngineFor) -> None:
    started = time.monotonic()
    with engine_for(f"http://127.0.0.1:{free_port}/v1") as engine:
        errors = failures(engine)
        check(errors, oc.ConnectError)
        assert all(error.is_retryable for error in errors)
        assert engine.stats()["cost"].nano_usd == 0  # nothing was sent
    assert time.monotonic() - started < 3


def test_a_name_that_does_not_exist(engine_for: EngineFor) -> None:
    with engine_for("http://does-not-exist.invalid/v1") as engine:
        errors = failures(engine)
        check(errors, oc.ConnectError, oc.DeadlineExceeded)
        assert "does-not-exist.invalid" in str(errors[0]) or isinstance(errors[0], oc.DeadlineExceeded)


@pytest.mark.parametrize(
    "host", ["256.256.256.256", "a." * 120 + "invalid", "0.0.0.0", "255.255.255.255", "[::ffff:0:0]"]
)
def test_an_address_that_is_nobody_s(host: str, engine_for: EngineFor) -> None:
    with engine_for(f"http://{host}:9/v1") as engine:
        check(failures(engine, timeout=oc.Timeout(total=2, connect=1)), oc.ConnectError, oc.DeadlineExceeded)


def test_a_host_that_never_answers_the_connect(engine_for: EngineFor) -> None:
    """A listener whose queue is full: the system drops what comes more."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        with engine_for(f"http://127.0.0.1:{listener.getsockname()[1]}/v1") as engine:
            started = time.monotonic()
            with pytest.raises(oc.DeadlineExceeded) as caught:
                engine.chat("Hi", model=MODEL, retry=oc.Retry(attempts=1), timeout=oc.Timeout(total=5, connect=0.3))
            assert caught.value.phase == "connect" and time.monotonic() - started < 3


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_and_one_that_says_no(scheme: str, free_port: int, canned: Canned) -> None:
    def engine_behind(proxy: str) -> oc.Engine:
        provider = oc.Provider(
            "up", protocol="openai-chat", base_url=f"{scheme}://example.invalid/v1", api_key="k", proxy=proxy
        )
        return oc.Engine(providers=[provider])

    with engine_behind(f"http://127.0.0.1:{free_port}") as engine:
        check(failures(engine), oc.ConnectError)
    canned.say = lambda request: (
        b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    with engine_behind(canned.url.removesuffix("/v1")) as engine:
        errors = failures(engine)
        check(errors, oc.ConnectError)
        for error in errors:
            assert "the proxy asks for a user and a password" in str(error)


# ---- TLS


WRONG = ["expired", "not yet", "wrong name", "self-signed"]


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_certificate_is_a_tls_error_and_nothing_is_sent(
    canned_with: Callable[..., Canned], certificates: Certificates, kind: str, engine_for: EngineFor
) -> None:
    server = canned_with(certificates.server(kind))
    with engine_for(server.url, ca_file=certificates.ca) as engine:
        errors = failures(engine, retry=oc.Retry(attempts=3))
        check(errors, oc.TlsError)
        for error in errors:
            assert not error.is_retryable and len(error.attempts) == 1, "a certificate is not better the second time"
            assert "certificate" in str(error).lower() or "ssl" in str(error).lower() or "tls" in str(error).lower()
    assert not server.requests


def test_an_authority_that_nobody_knows_is_a_tls_error(
    canned_with: Callable[..., Canned], certificates: Certificates, engine_for: EngineFor
) -> None:
    server = canned_with(certificates.server("right"))
    with engine_for(server.url) as engine:
        check(failures(engine), oc.TlsError)
    assert not server.requests


@pytest.mark.parametrize("by", ["the authority", "SSL_CERT_FILE", "insecure"])
@pytest.mark.parametrize("kind", ["right", *WRONG])
def test_what_is_trusted_is_asked(
    canned_with: Callable[..., Canned],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
    kind: str,
    engine_for: EngineFor,
) -> None:
    if by != "insecure" and kind != "right":
        return
    server = canned_with(certificates.server(kind))
    body = b'{"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}'
    server.say = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    if by == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    arguments: dict[str, Any] = {"the authority": {"ca_file": certificates.ca}, "insecure": {"insecure": True}}.get(
        by, {}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with engine_for(server.url, **arguments) as engine:
            assert engine.chat("Hi", **ONCE).text == "ok"


BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", [None, b"", b"no certificate", BROKEN], ids=["absent", "empty", "text", "broken"])
def test_a_file_of_certificates_that_is_none_is_told_with_its_path(
    canned_with: Callable[..., Canned],
    certificates: Certificates,
    tmp_path: Path,
    content: bytes | None,
    engine_for: EngineFor,
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    server = canned_with(certificates.server("right"))
    try:
        engine = engine_for(server.url, ca_file=path)
    except oc.ConfigError as error:
        assert str(error).startswith("ca_file") or str(path) in str(error)
        return
    with engine:
        for error in failures(engine):
            assert isinstance(error, oc.TlsError | oc.ConfigError), repr(error)
            assert "ca.pem" in str(error), str(error)
    assert not server.requests


def test_a_plain_server_at_a_tls_address_and_the_other_way_round(
    canned: Canned, canned_with: Callable[..., Canned], certificates: Certificates, engine_for: EngineFor
) -> None:
    with engine_for(canned.url.replace("http:", "https:")) as engine:
        canned.say = lambda request: b"HTTP/1.1 400 Bad\r\n\r\n"
        check(
            failures(engine, timeout=oc.Timeout(total=1, connect=0.3)),
            oc.TlsError,
            oc.ConnectError,
            oc.DeadlineExceeded,
        )
    server = canned_with(certificates.server("right"))
    with engine_for(server.url.replace("https:", "http:")) as engine:
        check(failures(engine), oc.TransportError, oc.ProtocolError)


def test_old_tls_is_refused(
    canned_with: Callable[..., Canned], certificates: Certificates, engine_for: EngineFor
) -> None:
    context = certificates.server("right")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = canned_with(context)
    with engine_for(server.url, ca_file=certificates.ca) as engine:
        check(failures(engine), oc.TlsError)
    assert not server.requests


class Rude:
    """Accepts, and does one thing with every connection."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    one, _ = self.listener.accept()
                except OSError:
                    return
                self.held.append(one)
                with contextlib.suppress(OSError):
                    act(one)

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)
        for one in self.held:
            one.close()


def reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


ACTS: dict[str, Callable[[socket.socket], None]] = {
    "closes": lambda one: one.close(),
    "resets": reset,
    "says nothing": lambda one: None,
    "says noise": lambda one: one.sendall(bytes(range(256)) * 64),
    "says a TLS alert": lambda one: one.sendall(b"\x15\x03\x03\x00\x02\x02\x28"),
    "half a ServerHello": lambda one: one.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("act", ACTS)
def test_a_rude_server_is_a_typed_error(scheme: str, act: str, engine_for: EngineFor) -> None:
    server = Rude(ACTS[act])
    try:
        with engine_for(f"{scheme}://127.0.0.1:{server.port}/v1") as engine:
            options = {"timeout": oc.Timeout(total=1, connect=0.1, first_token=0.1)}
            check(failures(engine, **options), oc.TransportError, oc.ProtocolError)
    finally:
        server.close()


def test_every_error_of_the_connection_is_the_same_in_a_map(free_port: int, engine_for: EngineFor) -> None:
    with engine_for(f"http://127.0.0.1:{free_port}/v1") as engine:
        batch = engine.map(["a"] * 20, **ONCE)
        assert batch.complete and {type(error) for _, error in batch.errors} == {oc.ConnectError}


def test_the_openssl_command_is_what_made_the_certificates(certificates: Certificates) -> None:
    """The right one verifies for openssl too, so that the wrong ones are wrong only in what they are called after."""
    certificates.server("right")
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", str(certificates.ca), str(certificates.folder / "right.pem")],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
