"""liter-llm. The class of its requests is in its private bindings, and a text is an object."""

from __future__ import annotations

import json

from liter_llm import create_client
from liter_llm._internal_bindings import ChatCompletionRequest
from settings import BASE_URL, BODY, KEY, MODEL, text_of

_client = create_client(KEY, base_url=BASE_URL, max_retries=0)


def _request() -> ChatCompletionRequest:
    return ChatCompletionRequest.from_json(json.dumps(BODY | {"model": "openai/" + MODEL}))


async def one() -> str:
    return str((await _client.chat(_request())).choices[0].message.content)


async def stream() -> str:
    return "".join([text_of(chunk) async for chunk in _client.chat_stream(_request())])
