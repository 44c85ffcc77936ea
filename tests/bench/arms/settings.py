"""What every arm sends, and where: one request of about 490 bytes, the same for all."""

from __future__ import annotations

import os
from typing import Any

PORT = int(os.environ["MOCK_PORT"])
CONCURRENCY = int(os.environ["CONC"])
HOST = "127.0.0.1"
BASE_URL = f"http://{HOST}:{PORT}/v1"
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


def text_of(chunk: Any) -> str:
    """The text of one chunk object of OpenAI's shape; the chunk with the usage has no choices."""
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def text_of_line(line: bytes | str) -> str:
    """The text of one line of a stream, read with the standard library."""
    import json

    if not line.startswith(b"data: {" if isinstance(line, bytes) else "data: {"):  # type: ignore[arg-type]
        return ""
    choices = json.loads(line[6:])["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""
