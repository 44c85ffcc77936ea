"""The floor in Python: a bare asyncio.Protocol, a request encoded once, json of the standard library."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from settings import BODY, HEADERS, HOST, PORT, text_of_line, tls_context


def _request(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, separators=(",", ":")).encode()
    lines = [f"POST /v1/chat/completions HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nContent-Length: {len(text)}"]
    return "\r\n".join(lines + [f"{name}: {value}" for name, value in HEADERS.items()]).encode() + b"\r\n\r\n" + text


TLS = tls_context()
PLAIN, STREAM = _request(BODY), _request(BODY | {"stream": True})
idle: list[_Connection] = []


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport
    answer: asyncio.Future[str]

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def begin(self, request: bytes, is_stream: bool) -> asyncio.Future[str]:
        self.is_stream, self.rest, self.texts = is_stream, b"", []
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.rest += data
        if self.is_stream:
            *lines, self.rest = self.rest.split(b"\n")
            self.texts: list[str]
            self.texts += [text_of_line(line) for line in lines]
            if len(lines) > 1 and lines[-2:] == [b"0\r", b"\r"]:
                self.answer.set_result("".join(self.texts))
            return
        head = self.rest.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self.rest.find(b"Content-Length: ") + 16
        if len(self.rest) >= head + 4 + int(self.rest[at : self.rest.find(b"\r\n", at)]):
            self.answer.set_result(json.loads(self.rest[head + 4 :])["choices"][0]["message"]["content"])


async def _ask(request: bytes, is_stream: bool) -> str:
    if idle:
        connection = idle.pop()
    else:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, HOST, PORT, ssl=TLS)
    text = await connection.begin(request, is_stream)
    idle.append(connection)
    return text


async def one() -> str:
    return await _ask(PLAIN, False)


async def stream() -> str:
    return await _ask(STREAM, True)
