"""genai-pyo3, on Rust's genai. The endpoint needs its last slash; a whole reply loses the newline at its end."""

from __future__ import annotations

from genai_pyo3 import AuthData, ChatMessage, ChatOptions, ChatRequest, Client
from settings import BASE_URL, KEY, MESSAGES, MODEL, OPTIONS

_builder = Client.builder().adapter_kind("openai")
_client = _builder.provider("openai", endpoint=BASE_URL + "/", auth=AuthData.key(KEY)).build()
_options = ChatOptions(**OPTIONS)


def _request() -> ChatRequest:
    return ChatRequest(messages=[ChatMessage(message["role"], message["content"]) for message in MESSAGES])


async def one() -> str:
    text: str = (await _client.achat(MODEL, _request(), _options)).text
    return text + "\n"


async def stream() -> str:
    source = await _client.astream_chat(MODEL, _request(), _options)
    return "".join([event.content or "" async for event in source])
