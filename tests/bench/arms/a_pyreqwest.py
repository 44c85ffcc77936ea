"""pyreqwest: HTTP on reqwest without anything of models; a stream chunk by chunk, json of the standard library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyreqwest.client import ClientBuilder
from settings import BODY, CA_FILE, HEADERS, URL, text_of_line

_builder = ClientBuilder().default_headers(HEADERS)
if CA_FILE:
    _builder = _builder.add_root_certificate_pem(Path(CA_FILE).read_bytes())
_client = _builder.build()


async def one() -> str:
    response = await _client.post(URL).body_json(BODY).build().send()
    answer: Any = await response.json()
    text: str = answer["choices"][0]["message"]["content"]
    return text


async def stream() -> str:
    texts: list[str] = []
    rest = b""
    async with _client.post(URL).body_json(BODY | {"stream": True}).build_streamed() as response:
        while (data := await response.body_reader.read_chunk()) is not None:
            *lines, rest = (rest + bytes(data)).split(b"\n")
            texts += [text_of_line(line) for line in lines]
    return "".join(texts)


async def close() -> None:
    await _client.close()  # one that is open when the interpreter ends may abort it
