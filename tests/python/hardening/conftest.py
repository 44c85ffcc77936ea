"""A provider that answers any bytes, with TLS or without, and certificates that are wrong in one way each."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestra as oc

MODEL = "up/m-1"


class Canned:
    """Reads one request a connection, writes what `say(request)` gives (bytes or pieces of them), and ends its side."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.say: Callable[[bytes], Any] = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._closed = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in [self._thread, *self._threads]:
            thread.join(5)
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(one)
            thread = threading.Thread(target=self._serve, args=(one,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, one: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self._context is not None:
                one = stack.enter_context(self._context.wrap_socket(one, server_side=True))
                self._sockets.append(one)
            stack.enter_context(one)
            if (request := self._read(one)) is not None:
                self.requests.append(request)
                pieces = self.say(request)
                for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                    one.sendall(piece)
                one.shutdown(socket.SHUT_WR)
                while one.recv(65536):
                    pass

    @staticmethod
    def _read(one: socket.socket) -> bytes | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = one.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        _, named, rest = head.lower().partition(b"content-length:")
        length = int(rest.split(b"\r\n")[0]) if named else 0  # a CONNECT has none
        while len(body) < length:
            body += one.recv(1 << 20)
        return head + b"\r\n\r\n" + body


@pytest.fixture
def canned() -> Iterator[Canned]:
    made = Canned()
    yield made
    made.close()


@pytest.fixture
def canned_with() -> Iterator[Callable[[ssl.SSLContext | None], Canned]]:
    made: list[Canned] = []

    def make(context: ssl.SSLContext | None = None) -> Canned:
        made.append(Canned(context))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def transport() -> str:
    """Modules that are about HTTP replace it by each."""
    return "auto"


@pytest.fixture
def engine(canned: Canned, transport: str) -> Iterator[oc.Engine]:
    provider = oc.Provider("up", protocol="openai-chat", base_url=canned.url, api_key="k", transport=transport)
    with oc.Engine(providers=[provider]) as made:
        yield made
        made.close(0)


# ---- the four ways to ask, as one


def _chat(engine: oc.Engine, messages: Any, options: dict[str, Any]) -> Any:
    return engine.chat(messages, **options)


def _achat(engine: oc.Engine, messages: Any, options: dict[str, Any]) -> Any:
    return asyncio.run(engine.achat(messages, **options))


def _stream(engine: oc.Engine, messages: Any, options: dict[str, Any]) -> Any:
    with engine.stream(messages, **options) as stream:
        for _ in stream:
            pass
        return stream.reply()


def _astream(engine: oc.Engine, messages: Any, options: dict[str, Any]) -> Any:
    async def run() -> Any:
        async with engine.astream(messages, **options) as stream:
            async for _ in stream:
                pass
            return stream.reply()

    return asyncio.run(run())


def _row(engine: oc.Engine, messages: Any, options: dict[str, Any]) -> Any:
    """One row of a map whose keywords stand in the row; its error is raised."""
    result = engine.map([{"messages": messages} | options], model=MODEL)[0]
    if isinstance(result, BaseException):
        raise result
    return result


WAYS = {"chat": _chat, "achat": _achat, "stream": _stream, "astream": _astream, "map": _row}


@pytest.fixture(params=list(WAYS))
def ask(request: pytest.FixtureRequest, engine: oc.Engine) -> Callable[..., Any]:
    """ask(messages, **keywords): the reply, by each form of a call."""
    return lambda messages="Hi", **options: WAYS[request.param](
        engine, messages, {"model": MODEL, "timeout": 10} | options
    )


@pytest.fixture(params=["chat", "astream"])
def ask_two(request: pytest.FixtureRequest, engine: oc.Engine) -> Callable[..., Any]:
    """The same by a plain form and by an asynchronous stream only, for what costs time."""
    return lambda messages="Hi", **options: WAYS[request.param](
        engine, messages, {"model": MODEL, "timeout": 10} | options
    )


# ---- certificates


class Certificates:
    """A certificate authority in a folder, and servers' certificates that are right or wrong in one way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=test-ca"
            f" -keyout {folder}/ca.key -out {self.ca}"
        )

    def _openssl(self, line: str) -> None:
        subprocess.run(["openssl", *line.split()], check=True, capture_output=True)

    def server(self, kind: str) -> ssl.SSLContext:
        """`right`, `expired`, `not yet`, `wrong name`, `self-signed`."""
        stem = self.folder / kind.replace(" ", "-")
        name = "DNS:elsewhere.example" if kind == "wrong name" else "IP:127.0.0.1,DNS:localhost"
        (self.folder / "ext").write_text(f"subjectAltName={name}\n")
        self._openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server"
            f" -keyout {stem}.key -out {stem}.csr"
        )
        signer = f"-signkey {stem}.key" if kind == "self-signed" else f"-CA {self.ca} -CAkey {self.folder}/ca.key"
        self._openssl(
            f"x509 -req -in {stem}.csr {signer} -CAcreateserial -days 30 -extfile {self.folder}/ext -out {stem}.pem"
        )
        if kind in ("expired", "not yet"):
            self._dated(stem, kind)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{stem}.pem", f"{stem}.key")
        return context

    def _dated(self, stem: Path, kind: str) -> None:
        start, end = (
            ("20200101000000Z", "20200201000000Z") if kind == "expired" else ("20480101000000Z", "20490101000000Z")
        )
        base = self.folder / "db"
        base.mkdir(exist_ok=True)
        (base / "index.txt").write_text("")
        (base / "serial").write_text("1000\n")
        (base / "conf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={base}/index.txt\nserial={base}/serial\nnew_certs_dir={base}\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
        )
        self._openssl(
            f"ca -batch -config {base}/conf -cert {self.ca} -keyfile {self.folder}/ca.key -in {stem}.csr"
            f" -out {stem}.pem -startdate {start} -enddate {end} -extfile {self.folder}/ext -notext"
        )


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command")
    return Certificates(tmp_path_factory.mktemp("certificates"))
