"""How often this process is the child of a fork: what belongs to a parent's engine must not be used in the child."""

from __future__ import annotations

import os
from collections.abc import Callable

count = 0
_listeners: list[Callable[[], None]] = []


def _after_fork() -> None:
    global count
    count += 1
    for listener in _listeners:
        listener()


def on_fork(listener: Callable[[], None]) -> None:
    """Calls the function in every child, right after the fork."""
    if not _listeners:
        os.register_at_fork(after_in_child=_after_fork)
    _listeners.append(listener)
