"""A provider on raw sockets that tells when a client left, and scripts in processes of their own."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import orchestra as oc

MODEL = "up/m-1"


def event(text: str) -> bytes:
    data = {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(text: str) -> bytes:
    body = json.dumps(
        {
            "id": "c",
            "model": "m-1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = (
    b'data: {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


def streamed(text: str) -> bytes:
    return STREAM_HEAD + b"".join(chunk(event(word)) for word in text.split()) + chunk(STREAM_END) + b"0\r\n\r\n"


@dataclass(eq=False)
class Question:
    """One request as it came, and when its client closed the connection (time.monotonic())."""

    body: dict[str, Any]
    connection: int
    headers: bytes
    send: Callable[[bytes], None]
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at: float | None = None

    @property
    def text(self) -> str:
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[-1]["text"]


class Upstream:
    """Speaks openai-chat. `answer` gets each Question and gives the bytes to write; none holds the call for ever."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.answer: Callable[[Question], bytes] = lambda question: (
            streamed(question.text) if question.body.get("stream") else whole(question.text)
        )
        self.transport = "auto"  # of the engines that are made here
        self.connections = 0
        self._arrival = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._waker, self._wakened = socket.socketpair()
        self._buffers: dict[socket.socket, tuple[int, bytearray, list[Question]]] = {}
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._serve, name="upstream", daemon=True)
        self._thread.start()

    @property
    def open_connections(self) -> int:
        return len(self._buffers)

    def wait_for(self, count: int, seconds: float = 20) -> list[Question]:
        with self._arrival:
            came = self._arrival.wait_for(lambda: len(self.questions) >= count, seconds)
            assert came, f"{len(self.questions)} of {count} requests came"
            return list(self.questions)

    def engine(self, **arguments: Any) -> oc.Engine:
        return oc.Engine(providers=[self.provider(**arguments)])

    def provider(self, **arguments: Any) -> oc.Provider:
        usual = {"protocol": "openai-chat", "base_url": self.url, "api_key": "k", "transport": self.transport}
        return oc.Provider("up", **(usual | arguments))

    def close(self) -> None:
        self._waker.send(b"x")
        self._thread.join(10)
        for connection in list(self._buffers):
            connection.close()
        for other in (self._listener, self._waker, self._wakened):
            other.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wakened:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._read(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._buffers[connection] = (self.connections, bytearray(), [])
            self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        number, buffer, questions = self._buffers[connection]
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            now = time.monotonic()
            self._selector.unregister(connection)
            del self._buffers[connection]
            connection.close()
            for question in questions:
                question.closed_at = now
                question.closed.set()
            return
        buffer += data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(buffer[:end]).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(buffer) < end + 4 + length:
                return
            question = Question(json.loads(buffer[end + 4 : end + 4 + length]), number, head, connection.sendall)
            del buffer[: end + 4 + length]
            questions.append(question)
            with self._arrival:
                self.questions.append(question)
                self._arrival.notify_all()
            answer = self.answer(question)
            if answer:
                connection.sendall(answer)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


# Where a call may be when it is cancelled: what the provider has written by then.
POINTS = {
    "before any answer": lambda question: b"",
    "in the body": lambda question: (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
    ),
    "in the stream": lambda question: STREAM_HEAD + chunk(event("one")),
}


@pytest.fixture
def hold(upstream: Upstream) -> Callable[[str], None]:
    """hold(point): from now on every call is stuck there."""

    def set_point(point: str) -> None:
        upstream.answer = POINTS[point]

    return set_point


AT_ONCE = 0.1  # seconds between a cancel and its connection's close, by the contract
MOST = 2.0  # on a machine that does something else meanwhile


@pytest.fixture
def closes_at_once(upstream: Upstream) -> Callable[[Callable[[], float]], None]:
    """Runs a scenario, which gives the moment of its cancel, and looks when the connections of its calls were closed.
    A busy machine may spoil a try: one of five must keep the contract, and none may be far from it."""

    def check(scenario: Callable[[], float]) -> None:
        delays = []
        for _ in range(5):
            before = len(upstream.questions)
            since = scenario()
            asked = upstream.questions[before:]
            assert asked, "the scenario asked nothing"
            for question in asked:
                assert question.closed.wait(10), f"its connection is still open, {len(delays)} tries before went well"
            delays.append(max(question.closed_at or 0 for question in asked) - since)
            if delays[-1] < AT_ONCE:
                break
        assert min(delays) < AT_ONCE and max(delays) < MOST, f"closed after {delays} s"

    return check


@dataclass
class Ended:
    """How a script ended."""

    code: int
    out: str
    err: str
    seconds: float  # since the last signal, or the start


PREAMBLE = """
import asyncio, gc, json, os, signal, sys, threading, time
import orchestra as oc
MODEL = "up/m-1"
def provider(**arguments):
    return oc.Provider("up", **({"protocol": "openai-chat", "base_url": sys.argv[1], "api_key": "k"} | arguments))
engine = oc.Engine(providers=[provider()])
def say(*words):
    print(*words, flush=True)
def thread(target, daemon=True):
    made = threading.Thread(target=target, daemon=daemon)
    made.start()
    return made
def quiet(work):
    "work, for a thread that does not care whether its call is cancelled."
    def run():
        try:
            work()
        except (oc.Cancelled, RuntimeError):
            pass
    return run
def until(is_so):
    while not is_so():
        time.sleep(0.001)
async def ticking(work):
    "The work in a loop that turns: a signal just before the loop goes to sleep is seen at its next turn only."
    async def tick():
        while True:
            await asyncio.sleep(0.01)
    ticker = asyncio.ensure_future(tick())
    try:
        return await work
    finally:
        ticker.cancel()
"""


class Script:
    """A Python process that has `engine`, whose only provider is the upstream."""

    def __init__(self, source: str, url: str) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", PREAMBLE + textwrap.dedent(source), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "error"},
        )

    def signal(self, number: int) -> float:
        """Sends it, and gives the moment."""
        self.started = time.monotonic()
        self.process.send_signal(number)
        return self.started

    def go_on(self, lines: int = 1) -> None:
        """Writes lines to its stdin, for a script that waits with input()."""
        assert self.process.stdin is not None
        self.started = time.monotonic()
        self.process.stdin.write("\n" * lines)
        self.process.stdin.flush()

    def end(self, seconds: float = 20) -> Ended:
        """Waits for its end; a hang shows where it hangs."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(6)  # SIGABRT: faulthandler writes where all threads are
            out, err = self.process.communicate()
            pytest.fail(f"it hangs; stdout {out!r}, stderr:\n{err}")
        return Ended(self.process.returncode, out, err, time.monotonic() - self.started)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def script(upstream: Upstream) -> Iterator[Callable[[str], Script]]:
    """script(source) starts it in a process of its own."""
    made: list[Script] = []

    def start(source: str) -> Script:
        made.append(Script(source, upstream.url))
        return made[-1]

    yield start
    for one in made:
        one.kill()
