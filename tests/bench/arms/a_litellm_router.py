"""litellm's Router over two deployments of one model; retries are off."""

from __future__ import annotations

from typing import Any

from a_litellm import litellm
from settings import BASE_URL, BODY, KEY, MODEL, text_of

_deployment = {
    "model_name": "pool",
    "litellm_params": {"model": "openai/" + MODEL, "api_base": BASE_URL, "api_key": KEY, "max_retries": 0},
}
_router = litellm.Router(model_list=[_deployment, _deployment], num_retries=0)
_call: dict[str, Any] = BODY | {"model": "pool"}


async def one() -> str:
    text: str = (await _router.acompletion(**_call)).choices[0].message.content
    return text


async def stream() -> str:
    return "".join([text_of(chunk) async for chunk in await _router.acompletion(stream=True, **_call)])
