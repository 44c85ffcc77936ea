"""f3dx's router over two deployments, one after the other. It has no streams."""

from __future__ import annotations

from f3dx.router import Router
from settings import BASE_URL, BODY, KEY, in_threads

_providers = [
    {"name": name, "kind": "openai", "base_url": BASE_URL, "api_key": KEY, "timeout_ms": 60000, "weight": 1}
    for name in ("first", "second")
]
_router = Router(providers=_providers, policy="sequential")


def _plain() -> str:
    text: str = _router.chat_completions(BODY)["choices"][0]["message"]["content"]
    return text


one = in_threads(_plain)
