"""The openai package on aiohttp; it has to be made inside the running loop."""

from __future__ import annotations

from openai import AsyncOpenAI, DefaultAioHttpClient
from settings import BASE_URL, BODY, KEY, text_of

_clients: list[AsyncOpenAI] = []


def _client() -> AsyncOpenAI:
    if not _clients:
        http = DefaultAioHttpClient()
        _clients.append(AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, http_client=http))
    return _clients[0]


async def one() -> str:
    return (await _client().chat.completions.create(**BODY)).choices[0].message.content or ""


async def stream() -> str:
    return "".join([text_of(chunk) async for chunk in await _client().chat.completions.create(stream=True, **BODY)])


async def close() -> None:
    await _client().close()
