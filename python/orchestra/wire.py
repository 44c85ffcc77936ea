"""The formats of the providers, offline: decode recorded bytes without an engine."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ._compiled import core
from .errors import Interrupted, OrchestraError
from .reply import Delta, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["DecodedStream", "decode_reply", "decode_stream", "protocols"]


def decode_reply(
    protocol: str, body: bytes | str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """The reply that a whole body says.

    Args:
        protocol: `openai-chat` or `anthropic-messages`.
        body: The body as it came.
        status: The HTTP status.
        headers: The answer's headers.

    Raises:
        OrchestraError: The error that status and body say, or ProtocolError.
    """
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
    return core.decode_reply(protocol, data, status, list((headers or {}).items()))


class DecodedStream:
    """The deltas of recorded bytes: iterator and context manager, with `reply()` and `partial` as a Stream has them."""

    def __init__(self, reader: core.StreamReader, chunks: Iterator[bytes]) -> None:
        self._reader = reader
        self._chunks = chunks
        self._deltas: deque[Delta] = deque()
        self._ended = False
        self._closed = False
        self._error: OrchestraError | None = None

    def __iter__(self) -> DecodedStream:
        return self

    def __next__(self) -> Delta:
        while not self._deltas and not self._ended:
            self._read()
        if self._deltas:
            return self._deltas.popleft()
        if self._error is not None:
            raise self._error
        raise StopIteration

    def _read(self) -> None:
        try:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                self._ended = True
                self._deltas.extend(self._reader.end())
            except Exception as error:
                raise Interrupted(f"the stream ended before its terminal event: {error}") from error
            else:
                if isinstance(chunk, int | str):  # bytes(7) would be seven zeros
                    raise TypeError(f"chunks must be bytes, not {type(chunk).__name__}")
                self._deltas.extend(self._reader.feed(bytes(chunk)))
        except OrchestraError as error:
            self._deltas.extend(self._reader.take_kept())
            self._ended = True
            if isinstance(error, Interrupted):
                error.partial = self.partial
            self._error = error

    def reply(self) -> Reply:
        """The whole reply, once the stream has ended; RuntimeError before, its error after a failure."""
        if self._closed or not self._ended or self._deltas:
            raise RuntimeError("the stream has not ended: read it to its end first, or use .partial")
        if self._error is not None:
            raise self._error
        return self._reader.reply()

    @property
    def partial(self) -> Reply:
        """What has come so far."""
        return self._reader.partial()

    def close(self) -> None:
        """Reads no further."""
        self._closed = self._closed or not self._ended or bool(self._deltas)
        self._ended = True
        self._deltas.clear()

    def __enter__(self) -> DecodedStream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def decode_stream(
    protocol: str, chunks: Iterable[bytes], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> DecodedStream:
    """The deltas of a streamed body, cut anywhere.

    Raises:
        OrchestraError: By `next`: the error that status and body say, or that the stream ends with. An exception of
            `chunks` ends it as Interrupted.
    """
    return DecodedStream(core.StreamReader(protocol, status, list((headers or {}).items())), iter(chunks))


def protocols() -> list[str]:
    """The names of the formats that are built in."""
    names: list[str] = core.protocols()
    return names
