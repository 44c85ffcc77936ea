"""The bridge between the core and one event loop: many completions behind one wake-up of the loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ._compiled import core

if TYPE_CHECKING:
    from .stream import AsyncStream


class Bridge:
    """Belongs to the loop in which it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.create_future = self._loop.create_future
        self.queue = core.Queue()
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._streams: WeakValueDictionary[int, AsyncStream] = WeakValueDictionary()
        self._loop.add_reader(self.queue.fileno(), self._ready)

    def expect(self, ticket: int) -> asyncio.Future[None]:
        """A future that is done once the call of this ticket has ended."""
        future: asyncio.Future[None] = self.create_future()
        self._futures[ticket] = future
        return future

    def forget(self, ticket: int) -> None:
        self._futures.pop(ticket, None)

    def attach(self, ticket: int, stream: AsyncStream) -> None:
        self._streams[ticket] = stream

    def _ready(self) -> None:
        for ticket in self.queue.drain():
            future: Any = self._futures.pop(ticket, None)
            if future is not None:
                if not future.done():
                    future.set_result(None)
            else:
                stream = self._streams.get(ticket)
                if stream is not None:
                    stream._wake()

    def detach(self) -> None:
        """Takes the queue off the loop; from any thread."""
        descriptor = self.queue.fileno()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._loop.remove_reader, descriptor)
