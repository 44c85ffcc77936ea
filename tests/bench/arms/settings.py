"""What every arm sends, and where: one request of about 490 bytes, the same for all. Over TLS the arms verify."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

PORT = int(os.environ["MOCK_PORT"])
CONCURRENCY = int(os.environ["CONC"])
HOST = "127.0.0.1"
CA_FILE = os.environ.get("MOCK_CA", "")  # "": no TLS
ROOT_URL = f"{'https' if CA_FILE else 'http'}://{HOST}:{PORT}"
BASE_URL = ROOT_URL + "/v1"
URL = BASE_URL + "/chat/completions"
KEY = "sk-bench-0123456789012345678901234567890123"
HEADERS = {"Authorization": "Bearer " + KEY, "Content-Type": "application/json"}

MODEL = "gpt-4o-mini"
MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Name the players. " * 20},
]
OPTIONS: dict[str, Any] = {"temperature": 0.2, "max_tokens": 256}
BODY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, **OPTIONS}


def tls_context() -> ssl.SSLContext | None:
    """What the standard library needs to verify the mock; None without TLS."""
    if not CA_FILE:
        return None
    import ssl

    return ssl.create_default_context(cafile=CA_FILE)


def in_threads(function: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    """A blocking client's function for asyncio, with a thread for each call at a time: the most that it allows."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    threads = ThreadPoolExecutor(CONCURRENCY)

    def call() -> Awaitable[str]:
        return asyncio.get_running_loop().run_in_executor(threads, function)

    return call


def text_of(chunk: Any) -> str:
    """The text of one chunk object of OpenAI's shape; the chunk with the usage has no choices."""
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def text_of_object(chunk: dict[str, Any]) -> str:
    """The same of a chunk as plain JSON values."""
    choices = chunk["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


def text_of_line(line: bytes | str) -> str:
    """The text of one line of a stream, read with the standard library."""
    import json

    if not line.startswith(b"data: {" if isinstance(line, bytes) else "data: {"):  # type: ignore[arg-type]
        return ""
    return text_of_object(json.loads(line[6:]))
