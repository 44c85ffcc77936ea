"""aiohttp with one session, no limit on connections, json of the standard library."""

from __future__ import annotations

import json

import aiohttp
from settings import BODY, HEADERS, URL, text_of_line, tls_context

_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    if not _sessions:  # it has to be made inside the running loop
        connector = aiohttp.TCPConnector(limit=0, ssl=tls_context() or True)
        _sessions.append(aiohttp.ClientSession(connector=connector, headers=HEADERS))
    return _sessions[0]


async def one() -> str:
    async with _session().post(URL, json=BODY) as response:
        text: str = json.loads(await response.read())["choices"][0]["message"]["content"]
        return text


async def stream() -> str:
    async with _session().post(URL, json=BODY | {"stream": True}) as response:
        return "".join([text_of_line(line) async for line in response.content])


async def close() -> None:
    await _session().close()
