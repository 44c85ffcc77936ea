"""orchestra as a program uses it: achat and its text, astream and each delta's text."""

from __future__ import annotations

from settings import BASE_URL, KEY, MESSAGES, MODEL, OPTIONS

import orchestra as oc

engine = oc.Engine(providers=[oc.Provider("mock", protocol="openai-chat", base_url=BASE_URL, api_key=KEY)])
NAME = "mock/" + MODEL


async def one() -> str:
    return (await engine.achat(MESSAGES, model=NAME, **OPTIONS)).text


async def stream() -> str:
    return "".join([delta.text async for delta in engine.astream(MESSAGES, model=NAME, **OPTIONS)])


async def close() -> None:
    await engine.aclose()
