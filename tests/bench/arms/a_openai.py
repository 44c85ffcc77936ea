"""The openai package; its own retries are off."""

from __future__ import annotations

from openai import AsyncOpenAI
from settings import BASE_URL, BODY, KEY, text_of

_client = AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)


async def one() -> str:
    return (await _client.chat.completions.create(**BODY)).choices[0].message.content or ""


async def stream() -> str:
    return "".join([text_of(chunk) async for chunk in await _client.chat.completions.create(stream=True, **BODY)])


async def close() -> None:
    await _client.close()
