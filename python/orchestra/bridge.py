"""The bridge between the core and one event loop: many completions behind one wake-up of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import weakref

from ._compiled import core

running_loop = asyncio.get_running_loop


class Bridge:
    """Belongs to the loop in which it is made. Neither holds the other: a loop that is done with goes, and a bridge
    whose engine was dropped leaves its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self.calls = core.Calls(asyncio.Future, loop)
        loop.add_reader(self.calls.fileno(), _deliver, weakref.ref(self.calls))
        weakref.finalize(self, _leave, self.loop, self.calls, False).atexit = False

    def is_of_running_loop(self) -> bool:
        return self.loop() is running_loop()

    def detach(self) -> None:
        """Delivers what has come and takes the calls off the loop; from any thread."""
        _leave(self.loop, self.calls, True)


def _deliver(calls: weakref.ref[core.Calls]) -> None:
    live = calls()
    if live is not None:
        live.deliver()


def _leave(loop: weakref.ref[asyncio.AbstractEventLoop], calls: core.Calls, deliver: bool) -> None:
    def leave() -> None:  # holds the calls, whose descriptor must stay open until here
        if deliver:
            calls.deliver()
        if live is not None:
            live.remove_reader(calls.fileno())

    live = loop()
    if live is not None and not live.is_closed():
        with contextlib.suppress(RuntimeError):  # closed in this moment
            live.call_soon_threadsafe(leave)
