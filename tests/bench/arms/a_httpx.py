"""httpx with one client whose limits are above every concurrency measured."""

from __future__ import annotations

import httpx
from settings import BODY, HEADERS, URL, text_of_line, tls_context

_limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
_client = httpx.AsyncClient(limits=_limits, timeout=60, headers=HEADERS, verify=tls_context() or True)


async def one() -> str:
    text: str = (await _client.post(URL, json=BODY)).json()["choices"][0]["message"]["content"]
    return text


async def stream() -> str:
    async with _client.stream("POST", URL, json=BODY | {"stream": True}) as response:
        return "".join([text_of_line(line) async for line in response.aiter_lines()])


async def close() -> None:
    await _client.aclose()
