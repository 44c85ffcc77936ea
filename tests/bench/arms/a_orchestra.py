"""orchestra as a program uses it: achat and its text, astream and each delta's text.

ORCHESTRA_BENCH_TRANSPORT names the transport, without it `own`; run.py sets it for arms whose name ends in _curl.
"""

from __future__ import annotations

import os

from settings import BASE_URL, CA_FILE, KEY, MESSAGES, MODEL, OPTIONS

import orchestra as oc

TRANSPORT = os.environ.get("ORCHESTRA_BENCH_TRANSPORT", "own")
NAME = "mock/" + MODEL
engine = oc.Engine(
    providers=[
        oc.Provider(
            "mock", protocol="openai-chat", base_url=BASE_URL, api_key=KEY, ca_file=CA_FILE or None, transport=TRANSPORT
        )
    ]
)


async def one() -> str:
    return (await engine.achat(MESSAGES, model=NAME, **OPTIONS)).text


async def stream() -> str:
    return "".join([delta.text async for delta in engine.astream(MESSAGES, model=NAME, **OPTIONS)])


async def transport() -> str | None:
    """What the attempt of one more call says that it went through; None when it does not say."""
    reply = await engine.achat(MESSAGES, model=NAME, **OPTIONS)
    return getattr(reply.attempts[-1], "transport", None)


async def close() -> None:
    await engine.aclose()
