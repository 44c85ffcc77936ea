"""The progress line."""

from __future__ import annotations

import io
import sys

import pytest

from orchestra.progress import Progress, open_progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_line_shows_rows_failures_money_and_time_left() -> None:
    clock, sink = Clock(), io.StringIO()
    progress = Progress(1000, stream=sink, clock=clock)
    clock.now = 5.0
    progress.update(500, failed=3, cost_usd=0.0412)
    expected = "orchestra  [##########..........]  500/1000  50%  3 failed  $0.0412  100/s  0:05 left"
    assert sink.getvalue() == "\r" + expected


def test_it_draws_ten_times_a_second_at_most_and_the_end_always() -> None:
    clock, sink = Clock(), io.StringIO()
    progress = Progress(2000, stream=sink, clock=clock)
    for done in range(1, 1001):
        clock.now = done / 1000
        progress.update(done)
    assert 9 <= sink.getvalue().count("\r") <= 11
    progress.close()
    assert "1000/2000" in sink.getvalue().split("\r")[-1]
    assert sink.getvalue().endswith("\n")


def test_an_unknown_total_shows_the_count_alone() -> None:
    clock, sink = Clock(), io.StringIO()
    Progress(None, stream=sink, clock=clock).update(7)
    assert sink.getvalue() == "\rorchestra  7"


def test_a_shorter_line_covers_the_longer_one() -> None:
    clock, sink = Clock(), io.StringIO()
    progress = Progress(None, stream=sink, clock=clock)
    progress.update(7, failed=100)
    clock.now = 1.0
    progress.update(8)
    first, second = sink.getvalue().split("\r")[1:]
    assert len(second) == len(first)


def test_a_closed_stream_is_no_error() -> None:
    sink = io.StringIO()
    progress = Progress(1, stream=sink)
    sink.close()
    progress.update(1)
    progress.close()


def test_nothing_is_drawn_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert open_progress(None, 10) is None
    assert open_progress(False, 10) is None
    assert open_progress(True, 10) is not None
