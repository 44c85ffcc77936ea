"""f3dx: a blocking client without the GIL, in threads; chunks are dicts."""

from __future__ import annotations

import f3dx
from settings import BASE_URL, BODY, KEY, in_threads, text_of_object

_client = f3dx.OpenAI(api_key=KEY, base_url=BASE_URL, timeout=60, http2=False)


def _plain() -> str:
    text: str = _client.chat_completions_create(BODY)["choices"][0]["message"]["content"]
    return text


def _pieces() -> str:
    return "".join([text_of_object(chunk) for chunk in _client.chat_completions_create_stream(BODY)])


one, stream = in_threads(_plain), in_threads(_pieces)
