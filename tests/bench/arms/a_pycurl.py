"""pycurl: libcurl's multi interface driven by the event loop, handles used again, json of the standard library."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pycurl
from settings import BODY, CA_FILE, CONCURRENCY, HEADERS, URL, text_of_line

_multi = pycurl.CurlMulti()
_multi.setopt(pycurl.M_MAXCONNECTS, CONCURRENCY + 8)
_headers = [f"{name}: {value}" for name, value in HEADERS.items()] + ["Expect:"]
_idle: list[Any] = []
_waiting: dict[Any, asyncio.Future[None]] = {}
_timer: list[asyncio.TimerHandle] = []


def _act(descriptor: int, events: int) -> None:
    _multi.socket_action(descriptor, events)
    left = 1
    while left:
        left, done, failed = _multi.info_read()
        for handle, error in [(one, None) for one in done] + [(one[0], OSError(one[2])) for one in failed]:
            _multi.remove_handle(handle)
            future = _waiting.pop(handle)
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def _on_socket(events: int, descriptor: int, _multi_handle: Any, _data: Any) -> None:
    loop = asyncio.get_running_loop()
    if events in (pycurl.POLL_IN, pycurl.POLL_INOUT):
        loop.add_reader(descriptor, _act, descriptor, pycurl.CSELECT_IN)
    else:
        loop.remove_reader(descriptor)
    if events in (pycurl.POLL_OUT, pycurl.POLL_INOUT):
        loop.add_writer(descriptor, _act, descriptor, pycurl.CSELECT_OUT)
    else:
        loop.remove_writer(descriptor)


def _on_timer(milliseconds: int) -> None:
    while _timer:
        _timer.pop().cancel()
    if milliseconds >= 0:
        loop = asyncio.get_running_loop()
        _timer.append(loop.call_later(milliseconds / 1000, _act, pycurl.SOCKET_TIMEOUT, 0))


_multi.setopt(pycurl.M_SOCKETFUNCTION, _on_socket)
_multi.setopt(pycurl.M_TIMERFUNCTION, _on_timer)


def _new_handle() -> Any:
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, URL)
    handle.setopt(pycurl.HTTPHEADER, _headers)
    handle.setopt(pycurl.NOSIGNAL, 1)
    if CA_FILE:
        handle.setopt(pycurl.CAINFO, CA_FILE)
    return handle


async def _ask(body: dict[str, Any], write: Any) -> None:
    handle = _idle.pop() if _idle else _new_handle()
    handle.setopt(pycurl.POSTFIELDS, json.dumps(body))
    handle.setopt(pycurl.WRITEFUNCTION, write)
    future = _waiting[handle] = asyncio.get_running_loop().create_future()
    _multi.add_handle(handle)
    await future
    _idle.append(handle)


async def one() -> str:
    parts: list[bytes] = []
    await _ask(BODY, parts.append)
    text: str = json.loads(b"".join(parts))["choices"][0]["message"]["content"]
    return text


async def stream() -> str:
    texts: list[str] = []
    rest = b""

    def take(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        texts.extend(text_of_line(line) for line in lines)

    await _ask(BODY | {"stream": True}, take)
    return "".join(texts)
