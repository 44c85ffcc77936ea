"""Streams: an iterator over deltas that owns its connection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from . import forks
from ._compiled import core
from .call import finish
from .errors import Cancelled, OrchestraError
from .reply import Delta, Reply

if TYPE_CHECKING:
    from types import TracebackType

    from .engine import Engine
    from .structured import Parser


class _Source(core.Deltas):
    """What both kinds of stream share: deltas that came, how it ended, and the end by close()."""

    def __init__(self, engine: Engine, calls: core.Calls, handle: core.Handle, parser: Parser | None) -> None:
        self._engine = engine  # an engine that nobody holds any more closes itself, and its streams with it
        self._forks = forks.count
        self._calls = calls
        self._handle = handle
        self._attach(calls, handle)
        self._parser = parser
        self._outcome: Reply | None = None  # as it ended, well or not
        self._reply: Reply | None = None
        self._error: OrchestraError | None = None
        self._closed_by: int | None = None

    def _poll(self) -> bool:
        """Takes what has come; True when there is a delta or the end."""
        self._check_process()
        if self._outcome is None:
            self._fill()
            outcome = self._handle.outcome()
            if outcome is not None:
                self._outcome = outcome
                self._calls.close(self._handle)
                try:
                    self._reply = finish(outcome, self._parser)
                except OrchestraError as error:
                    self._error = error
        return self._left > 0 or self._outcome is not None

    def _check_end(self) -> None:
        """Raises what the stream ended with; REQUIRES: it has ended, and its deltas were taken."""
        if self._closed_by is not None:
            if self._closed_by == threading.get_ident():
                return
            raise self._error if isinstance(self._error, Cancelled) else Cancelled("the stream was closed")
        if self._error is not None:
            raise self._error

    def _check_process(self) -> None:
        if self._forks != forks.count:
            raise RuntimeError("this stream belongs to the parent process: a forked child starts streams of its own")

    def _close(self) -> None:
        if self._closed_by is None and not self._is_read() and self._forks == forks.count:
            self._closed_by = threading.get_ident()
            self._handle.cancel("the stream was closed")
            self._drop()

    def _is_read(self) -> bool:
        return self._outcome is not None and not self._left

    def reply(self) -> Reply:
        """The whole reply, once the stream has ended.

        Raises:
            RuntimeError: It has not ended, or was closed before its end.
            OrchestraError: The error with which it failed.
        """
        if self._closed_by is not None:
            raise RuntimeError("the stream was closed before its end: there is only .partial")
        self._poll()
        if not self._is_read():
            raise RuntimeError("the stream has not ended: read it to its end first, or use .partial")
        if self._error is not None:
            raise self._error
        assert self._reply is not None
        return self._reply

    @property
    def partial(self) -> Reply:
        """What has come so far, as a Reply whose finish_reason is None until the end."""
        if self._reply is not None:
            return self._reply
        if self._outcome is None:
            self._check_process()
        return self._outcome if self._outcome is not None else self._handle.partial()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and self._outcome is None and self._forks == forks.count:
            handle.cancel("the stream was dropped")
            self._calls.close(handle)

    def __repr__(self) -> str:
        state = "closed" if self._closed_by is not None else "ended" if self._is_read() else "running"
        return f"<{type(self).__name__} {state}>"


class Stream(_Source, core.SyncDeltas):
    """The deltas of one call, in order. Belongs to one consumer; close() may come from any thread."""

    def _next(self) -> Delta:
        """What __next__() does when no delta is left."""
        while True:
            try:
                while self._closed_by is None and not self._poll():
                    self._calls.wait()
            except BaseException:
                self._close()
                raise
            delta = self._take()  # None: close() in another thread took them all
            if delta is not None:
                return delta
            self._check_end()
            if self._is_read() or self._closed_by is not None:
                raise StopIteration

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def close(self) -> None:
        """Ends the stream and closes its connection; idempotent, nothing after the end."""
        self._close()


class AsyncStream(_Source, core.AsyncDeltas):
    """The same for `async for`. Belongs to the event loop in which it was made."""

    async def _next(self) -> Delta:
        """What __anext__() does when no delta is left."""
        while True:
            try:
                while self._closed_by is None and not self._poll():
                    await self._calls.next(self._handle)
            except BaseException:
                self._close()
                raise
            delta = self._take()
            if delta is not None:
                return delta
            self._check_end()
            if self._is_read() or self._closed_by is not None:
                raise StopAsyncIteration

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def aclose(self) -> None:
        """Ends the stream and closes its connection; idempotent, nothing after the end."""
        self._close()
