"""map and amap: many calls through one queue, results in input order."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from ._compiled import core
from .batch import Batch
from .call import KEYWORDS, canonical_key, finish, lower
from .errors import Cancelled, InvalidRequest, OrchestraError
from .progress import open_progress
from .reply import Reply

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from .engine import Engine
    from .resume import ResumeFile
    from .structured import Parser

_ROWS_AT_ONCE = 256  # rows that are begun before others get their turn


class _Row:
    __slots__ = ("handle", "index", "key", "parser")

    def __init__(self, index: int) -> None:
        self.index = index
        self.handle: core.Handle | None = None
        self.parser: Parser | None = None
        self.key: str | None = None


class _Run:
    """One map: rows are begun while there is room, and put in their place when they end."""

    def __init__(
        self,
        engine: Engine,
        inputs: Iterable[Any],
        concurrency: int,
        progress: bool | None,
        resume: ResumeFile | None,
        options: dict[str, Any],
    ) -> None:
        self.engine = engine
        self.inputs = inputs
        self.rows: Iterator[Any] = iter(inputs)
        self.concurrency = concurrency
        self.resume = resume
        self.options = options
        self.queue = core.Queue()
        self.live = engine._live()
        self.results: list[Reply | OrchestraError | None] = []
        self.open: dict[int, _Row] = {}
        self.exhausted = False
        self.stopped = False
        self.done = 0
        self.failed = 0
        self.spent = 0.0
        self.total = len(inputs) if isinstance(inputs, Sized) else None
        self.progress = open_progress(progress, self.total)

    @property
    def running(self) -> bool:
        return bool(self.open) or not (self.exhausted or self.stopped)

    def begin(self) -> bool:
        """Begins rows while there is room; True when more could be begun at once."""
        for _ in range(_ROWS_AT_ONCE):
            if self.exhausted or self.stopped or len(self.open) >= self.concurrency:
                return False
            try:
                item = next(self.rows)
            except StopIteration:
                self.exhausted = True
                return False
            index = len(self.results)
            self.results.append(None)
            self._begin_row(index, item)
            self.accept(self.queue.drain())  # reading the input may take long: what has ended meanwhile is kept
        return True

    def _begin_row(self, index: int, item: Any) -> None:
        row = _Row(index)
        try:
            call, row.parser = lower(*self._split(item))
            if self.resume is not None and self._restore(row, call):
                return
            self.open[index] = row
            row.handle = self.live.prepare(call, self.queue, index)
            row.handle.start()
        except OrchestraError as error:
            self.open.pop(index, None)
            self._end(index, error)
        except RuntimeError as error:
            if not self.live.closed:
                raise
            self.open.pop(index, None)
            self.stopped = True
            self._end(index, Cancelled(str(error)))

    def _split(self, item: Any) -> tuple[Any, dict[str, Any]]:
        if not isinstance(item, dict) or "messages" not in item:
            return item, self.options
        for name in item:
            if name != "messages" and name not in KEYWORDS:
                raise InvalidRequest(f"{name}: no call has this keyword")
        return item["messages"], self.options | {name: value for name, value in item.items() if name != "messages"}

    def _restore(self, row: _Row, call: dict[str, Any]) -> bool:
        assert self.resume is not None
        try:
            row.key = canonical_key(call)
        except (TypeError, ValueError, RecursionError):
            return False  # no JSON: submit says what is wrong
        stored = self.resume.lookup(row.key)
        if stored is None:
            return False
        self._end(row.index, Reply(core.Outcome.restore(stored), row.parser))
        return True

    def accept(self, tickets: list[int]) -> None:
        """Puts the rows that have ended in their place."""
        for ticket in tickets:
            row = self.open.get(ticket)
            if row is None:
                continue
            assert row.handle is not None
            outcome = row.handle.outcome()
            assert outcome is not None
            try:
                reply = finish(outcome, row.parser)
            except OrchestraError as error:
                if isinstance(error, Cancelled):
                    self.stopped = True  # the engine was closed
                self._end(row.index, error)
            else:
                if self.resume is not None and row.key is not None:
                    self.resume.add(row.key, outcome.dump())
                self._end(row.index, reply)
            self.open.pop(ticket, None)

    def ended(self) -> list[int]:
        """Open rows that have ended: an interrupt may have lost their tickets on the way here."""
        begun = [(index, row.handle) for index, row in self.open.items() if row.handle is not None]
        return [index for index, handle in begun if handle.outcome() is not None]

    def _end(self, index: int, result: Reply | OrchestraError) -> None:
        self.results[index] = result
        self.done += 1
        if isinstance(result, OrchestraError):
            self.failed += 1
        if self.progress is not None:
            self.spent += sum(a.cost.at_least_usd for a in result.attempts)
            self.progress.update(self.done, self.total, failed=self.failed, cost_usd=self.spent or None)

    def stop(self) -> None:
        self.stopped = True
        for row in list(self.open.values()):
            if row.handle is not None:
                row.handle.cancel("the map was stopped")

    def drop_unbegun(self) -> None:
        """Forgets rows that an interrupt caught before they were begun."""
        for index in [index for index, row in self.open.items() if row.handle is None]:
            del self.open[index]

    def batch(self) -> Batch:
        if self.progress is not None:
            self.progress.close()
        complete = not self.stopped
        results: list[Reply | OrchestraError] = [
            Cancelled("the map was stopped before this row had an answer") if result is None else result
            for result in self.results
        ]
        if self.stopped and self.total is not None:
            results += [
                Cancelled("the map was stopped before this row was begun") for _ in range(self.total - len(results))
            ]
        return Batch(results, complete)


def prepare(
    engine: Engine,
    inputs: Iterable[Any],
    concurrency: int,
    progress: bool | None,
    resume: str | os.PathLike[str] | None,
    options: dict[str, Any],
) -> _Run:
    """A map that has begun no row yet. Raises what Engine.map raises."""
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise InvalidRequest(f"concurrency: must be a whole number, 1 or more, not {concurrency!r}")
    if isinstance(inputs, str | bytes | dict) or not hasattr(inputs, "__iter__"):
        raise InvalidRequest(f"inputs: must be an iterable of rows, not {type(inputs).__name__}")
    if engine.closed:
        raise RuntimeError("the engine is closed")
    file = None
    if resume is not None:
        from .resume import ResumeFile

        file = ResumeFile(resume)
    return _Run(engine, inputs, concurrency, progress, file, options)


def run(state: _Run) -> Batch:
    """The body of Engine.map."""
    try:
        try:
            while state.running:
                if not state.begin() and state.open:
                    state.accept(state.queue.wait())
        except KeyboardInterrupt:  # the first one stops; a second one, below, is raised
            state.drop_unbegun()
            state.stop()
            state.accept(state.ended())
            while state.open:
                state.accept(state.queue.wait())
        return state.batch()
    except BaseException:
        state.stop()
        raise
    finally:
        if state.resume is not None:
            state.resume.close()


async def arun(state: _Run) -> Batch:
    """The body of Engine.amap."""
    import asyncio

    loop = asyncio.get_running_loop()
    filled = asyncio.Event()
    loop.add_reader(state.queue.fileno(), filled.set)
    try:
        while state.running:
            if state.begin():
                await asyncio.sleep(0)
            elif state.open:
                await filled.wait()
                filled.clear()
            state.accept(state.queue.drain())
        return state.batch()
    except BaseException:
        state.stop()
        raise
    finally:
        loop.remove_reader(state.queue.fileno())
        if state.resume is not None:
            state.resume.close()
