"""edgequake-litellm. It takes the address and the key from the environment; its arguments for them do nothing."""

from __future__ import annotations

import os

from settings import BASE_URL, KEY, MESSAGES, MODEL, OPTIONS

os.environ["OPENAI_COMPATIBLE_BASE_URL"] = BASE_URL
os.environ["OPENAI_COMPATIBLE_API_KEY"] = KEY

import edgequake_litellm  # noqa: E402

NAME = "openai-compatible/" + MODEL


async def one() -> str:
    text: str = (await edgequake_litellm.acompletion(NAME, MESSAGES, **OPTIONS)).content
    return text


async def stream() -> str:
    return "".join([chunk.content or "" async for chunk in edgequake_litellm.stream(NAME, MESSAGES, **OPTIONS)])
