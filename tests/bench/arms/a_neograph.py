"""neograph-engine: its provider alone, a blocking call without the GIL, in threads. It wants the API described."""

from __future__ import annotations

import json
from typing import Any

import neograph_engine as neograph
from neograph_engine import llm
from settings import CONCURRENCY, KEY, MESSAGES, MODEL, ROOT_URL, in_threads

_path = "/v1/chat/completions"
_descriptor = {
    "descriptor_version": 1,
    "revision": 1,
    "id": "mock",
    "family": "openai.chat",
    "connection": {"base_url": ROOT_URL, "paths": {"buffered": _path, "streaming": _path}},
}
_options = llm.ProviderRuntimeOptions()
_options.api_key = KEY
_limits = _options.limits
_limits.max_operations = CONCURRENCY + 8  # of 256 by default: the next call fails
_options.limits = _limits
_provider = llm.SchemaProvider(llm.load_provider_descriptor(json.dumps(_descriptor)), _options)
_roles = {"system": neograph.ProviderRole.System, "user": neograph.ProviderRole.User}


def _ask(mode: Any, on_event: Any = None) -> str:
    messages = [
        neograph.ProviderMessage(_roles[message["role"]], [neograph.Text(message["content"])]) for message in MESSAGES
    ]
    request = neograph.make_provider_request(_provider, MODEL, messages, mode=mode)
    if on_event is not None:
        request.on_event = on_event
    result = _provider.invoke(request)
    if result.failure:
        raise RuntimeError(str(result.failure.error))
    text: str = result.text
    return text


def _plain() -> str:
    return _ask(neograph.ProviderMode.Collect)


def _pieces() -> str:
    texts: list[str] = []

    def take(event: Any) -> None:
        if event.kind == "PartDelta":
            texts.append(event.value.bytes)

    _ask(neograph.ProviderMode.Stream, take)
    return "".join(texts)


one, stream = in_threads(_plain), in_threads(_pieces)
