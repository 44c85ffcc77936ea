"""any-llm: its class made once, since the function of the module makes a client a call. It wraps the openai package."""

from __future__ import annotations

from any_llm import AnyLLM
from settings import BASE_URL, BODY, KEY, text_of

_model = AnyLLM.create("openai", api_key=KEY, api_base=BASE_URL)


async def one() -> str:
    return (await _model.acompletion(**BODY)).choices[0].message.content or ""


async def stream() -> str:
    return "".join([text_of(chunk) async for chunk in await _model.acompletion(stream=True, **BODY)])
