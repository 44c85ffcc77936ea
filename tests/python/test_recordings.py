"""Recorded answers decode to what the providers' official clients read in them, however the bytes are cut.

Needs ORCHESTRA_DATA; its wire/ holds the recordings, the reference and the comparison, check_decoder.py.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orchestra import OrchestraError, Reply, ToolCall, wire

PROTOCOLS = ("openai-chat", "anthropic-messages")

# Here the reference is wrong: its client loses the last event where the recording lost the blank line behind it, and
# takes the [DONE] behind message_stop for an event that it cannot read.
LOST_BLANK_LINE = "rig-fb6d2162b45a"
DONE_AFTER_MESSAGE_STOP = "rig-4a35171128e6"

Record = dict[str, Any]


@pytest.fixture(scope="module")
def comparison(recorded_data: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_decoder", recorded_data / "wire" / "check_decoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the data's folder may be read-only
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = kept
    return module


def _lines(path: Path) -> Iterator[Record]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


@pytest.fixture(scope="module")
def references(recorded_data: Path) -> dict[str, Record]:
    return {reference["id"]: reference for reference in _lines(recorded_data / "wire" / "reference.jsonl.gz")}


@pytest.fixture(scope="module")
def records(recorded_data: Path, references: dict[str, Record]) -> list[Record]:
    """Those that have a reference."""
    return [
        record
        for protocol in PROTOCOLS
        for record in _lines(recorded_data / "wire" / f"{protocol}.jsonl.gz")
        if record["id"] in references and record["provider_wire"] == protocol
    ]


def decode(record: Record, chunks: Iterator[bytes]) -> Reply:
    protocol, status, headers = record["provider_wire"], record["status"] or 200, record["response_headers"] or {}
    if not record["stream"]:
        return wire.decode_reply(protocol, b"".join(chunks), status=status, headers=headers)
    stream = wire.decode_stream(protocol, chunks, status=status, headers=headers)
    text = "".join(delta.text for delta in stream)
    reply = stream.reply()
    assert text == reply.text
    return reply


def _arguments(call: ToolCall) -> Any:
    return call.arguments_json if call.arguments is None else call.arguments


def result(record: Record, chunks: Iterator[bytes]) -> dict[str, Any]:
    """In the shape that the comparison wants: the provider's own words and counts."""
    try:
        reply = decode(record, chunks)
    except OrchestraError as error:
        return {"error": {"status": error.status, "message": str(error)}}
    counts = reply.usage.raw or {}
    names = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
    read, generated = names[:2] if record["provider_wire"] == "openai-chat" else names[2:]
    return {
        "text": reply.text,
        "reasoning": reply.reasoning,
        "refusal": reply.refusal,
        "tool_calls": [{"id": call.id, "name": call.name, "arguments": _arguments(call)} for call in reply.tool_calls],
        "finish": reply.finish_reason_raw,
        "usage": {"input": counts.get(read), "output": counts.get(generated)},
    }


@pytest.mark.parametrize("mode", ["whole", "byte", "line", "rand"])
def test_every_recording_decodes_as_the_official_client_reads_it(
    mode: str, comparison: ModuleType, records: list[Record], references: dict[str, Record]
) -> None:
    disagreeing = {}
    for record in records:
        if mode == "whole" or record["stream"]:  # a plain body is decoded whole anyway
            found = comparison.compare(references[record["id"]], result(record, comparison.chunks(record, mode)))
            if found:
                disagreeing[record["id"]] = found
    assert sorted(disagreeing) == sorted([LOST_BLANK_LINE, DONE_AFTER_MESSAGE_STOP]), disagreeing


def test_there_are_as_many_recordings_as_ever(records: list[Record]) -> None:
    assert len(records) > 1500


@pytest.mark.parametrize(
    ("record_id", "beginning", "finish"),
    [
        (LOST_BLANK_LINE, "stream cache probe ready", "end_turn"),
        (DONE_AFTER_MESSAGE_STOP, "A solar eclipse occurs ", "max_tokens"),
    ],
)
def test_a_stream_that_the_official_client_misreads_decodes_whole(
    record_id: str, beginning: str, finish: str, comparison: ModuleType, records: list[Record]
) -> None:
    record = next(record for record in records if record["id"] == record_id)
    for mode in ("whole", "byte", "line", "rand"):
        reply = decode(record, comparison.chunks(record, mode))
        assert reply.text.startswith(beginning)
        assert reply.finish_reason_raw == finish
