"""The progress line of a map: plain text on stderr, at most ten times a second.

orchestra [##########..........]  512/1000  51%  3 failed  $0.0412  98/s  0:05 left
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

_INTERVAL = 0.1  # seconds between two drawings
_BAR = 20


def open_progress(wanted: bool | None, total: int | None) -> Progress | None:
    """The line for a map.

    Args:
        wanted: None draws on a terminal and in Jupyter; True always, False never.
        total: Rows, None while the input is an iterator.
    """
    if wanted is None:
        wanted = is_terminal(sys.stderr) or "ipykernel" in sys.modules
    return Progress(total) if wanted else None


def is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


class Progress:
    """One line that is drawn over itself. For one thread.

    Args:
        total: Rows, None when nobody knows.
        stream: Where it is drawn; stderr.
        clock: Seconds, monotonic.
        label: The first word.
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        label: str = "orchestra",
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._label = label
        self._started = clock()
        self._drawn_at: float | None = None
        self._width = 0
        self._state: tuple[int, int | None, int, float | None] = (0, total, 0, None)

    def update(self, done: int, total: int | None = None, *, failed: int = 0, cost_usd: float | None = None) -> None:
        """Draws, unless it did a moment ago."""
        self._state = (done, self._state[1] if total is None else total, failed, cost_usd)
        now = self._clock()
        if self._drawn_at is None or now - self._drawn_at >= _INTERVAL:
            self._draw(now)

    def close(self) -> None:
        """Draws the last state and ends the line."""
        if self._drawn_at is not None:
            self._draw(self._clock())
            self._write("\n")
            self._drawn_at = None

    def clear(self) -> None:
        """Takes the line away, so that something else may be written there."""
        if self._drawn_at is not None:
            self._write("\r" + " " * self._width + "\r")
            self._drawn_at = None

    def _draw(self, now: float) -> None:
        self._drawn_at = now
        line = self._line(now)[: _columns(self._stream) - 1]
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)

    def _line(self, now: float) -> str:
        done, total, failed, cost_usd = self._state
        rate = done / (now - self._started) if now > self._started else 0.0
        parts = [self._label]
        if total:
            filled = min(_BAR, _BAR * done // total)
            parts += [f"[{'#' * filled}{'.' * (_BAR - filled)}]", f"{done}/{total}", f"{100 * done // total}%"]
        else:
            parts.append(str(done))
        if failed:
            parts.append(f"{failed} failed")
        if cost_usd is not None:
            parts.append(f"${cost_usd:.4f}")
        if rate:
            parts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            if total and done < total:
                parts.append(f"{_clock_time((total - done) / rate)} left")
        return "  ".join(parts)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody looks any more
            pass


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 100
    except (OSError, ValueError, AttributeError):
        return 100
