"""orchestra with the whole reply turned into Python objects, so that reading the body late is no trick."""

from __future__ import annotations

from a_orchestra import MESSAGES, NAME, OPTIONS, close, engine, transport

__all__ = ["close", "one", "stream", "transport"]


async def one() -> str:
    reply = await engine.achat(MESSAGES, model=NAME, **OPTIONS)
    text: str = reply.raw["choices"][0]["message"]["content"]
    return text


async def stream() -> str:
    source = engine.astream(MESSAGES, model=NAME, **OPTIONS)
    text = "".join([delta.text async for delta in source])
    whole: str = source.reply().raw["choices"][0]["message"]["content"]
    return text if whole == text else f"the deltas and the reply differ: {whole!r}"
