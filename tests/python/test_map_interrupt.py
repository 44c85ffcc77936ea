"""Ctrl-C in a map, at the moments in which it does most harm."""

from __future__ import annotations

import pytest

import orchestra as oc
from orchestra.map import _Run
from orchestra.testing import FakeProviders


def test_an_interrupt_between_waiting_and_accepting_loses_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = _Run.accept
    lost: list[list[int]] = []

    def interrupted_once(run: _Run, tickets: list[int]) -> None:
        if tickets and not lost:
            lost.append(tickets)
            raise KeyboardInterrupt
        accept(run, tickets)

    monkeypatch.setattr(_Run, "accept", interrupted_once)
    with FakeProviders(["openai-chat"]) as fake, fake.engine() as engine:
        batch = engine.map([f"row {i}" for i in range(50)], model="openai-chat/fake-1", concurrency=4)
    assert len(batch) == 50 and not batch.complete and lost[0]
    assert all(isinstance(batch[index], oc.Reply) for index in lost[0])
    assert {type(error) for _, error in batch.errors} == {oc.Cancelled}


def test_an_interrupt_after_a_row_was_begun_and_before_it_is_known_ends_the_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = _Run._begin_row

    def interrupted(run: _Run, index: int, item: object) -> None:
        begin(run, index, item)
        if index == 10:
            run.open = 0
            raise KeyboardInterrupt

    monkeypatch.setattr(_Run, "_begin_row", interrupted)
    with FakeProviders(["openai-chat"]) as fake, fake.engine() as engine:
        rows = [{"messages": f"row {i}"} for i in range(50)]
        batch = engine.map(rows, model="openai-chat/fake-1", concurrency=20)
    assert len(batch) == 50 and not batch.complete and isinstance(batch[10], oc.Cancelled)
