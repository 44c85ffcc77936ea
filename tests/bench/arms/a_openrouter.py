"""The openrouter package."""

from __future__ import annotations

from openrouter import OpenRouter
from settings import BASE_URL, BODY, KEY, text_of

_client = OpenRouter(api_key=KEY, server_url=BASE_URL)


async def one() -> str:
    text: str = (await _client.chat.send_async(**BODY)).choices[0].message.content
    return text


async def stream() -> str:
    async with await _client.chat.send_async(stream=True, **BODY) as events:
        return "".join([text_of(chunk) async for chunk in events])
