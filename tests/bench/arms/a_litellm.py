"""litellm's acompletion; retries are off, and the price table is the shipped one (else importing it downloads one)."""

from __future__ import annotations

import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402
from settings import BASE_URL, BODY, KEY, MODEL, text_of  # noqa: E402

litellm.suppress_debug_info = True
_call: dict[str, Any] = BODY | {"model": "openai/" + MODEL, "api_base": BASE_URL, "api_key": KEY} | {"max_retries": 0}


async def one() -> str:
    text: str = (await litellm.acompletion(**_call)).choices[0].message.content
    return text


async def stream() -> str:
    return "".join([text_of(chunk) async for chunk in await litellm.acompletion(stream=True, **_call)])
