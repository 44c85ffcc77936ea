"""The bridge between the core and one event loop: many completions behind one wake-up of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from ._compiled import core

if TYPE_CHECKING:
    from .stream import AsyncStream


class Bridge:
    """Belongs to the loop in which it is made. Neither holds the other: a loop that is done with goes, and a bridge
    whose engine was dropped leaves its loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.queue = core.Queue()
        self._loop = weakref.ref(loop)
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._streams: weakref.WeakValueDictionary[int, AsyncStream] = weakref.WeakValueDictionary()
        loop.add_reader(self.queue.fileno(), _ready, weakref.ref(self))
        weakref.finalize(self, _leave, self._loop, self.queue, None).atexit = False

    def expect(self, ticket: int) -> asyncio.Future[None]:
        """A future that is done once the call of this ticket has ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures[ticket] = future
        return future

    def forget(self, ticket: int) -> None:
        self._futures.pop(ticket, None)

    def attach(self, ticket: int, stream: AsyncStream) -> None:
        self._streams[ticket] = stream

    def deliver(self) -> None:
        """Wakes whoever waits for what has come."""
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
        """Delivers what has come and takes the queue off the loop; from any thread."""
        _leave(self._loop, self.queue, self)


def _ready(bridge: weakref.ref[Bridge]) -> None:
    live = bridge()
    if live is not None:
        live.deliver()


def _leave(loop: weakref.ref[asyncio.AbstractEventLoop], queue: core.Queue, bridge: Bridge | None) -> None:
    def leave() -> None:  # holds the queue, whose descriptor must stay open until here
        if bridge is not None:
            bridge.deliver()
        if live is not None:
            live.remove_reader(queue.fileno())

    live = loop()
    if live is not None and not live.is_closed():
        with contextlib.suppress(RuntimeError):  # closed in this moment
            live.call_soon_threadsafe(leave)
