"""map and amap: many calls through one queue, results in input order."""

from __future__ import annotations

from collections.abc import Sized
from itertools import islice
from typing import TYPE_CHECKING, Any

from ._compiled import core
from .batch import Batch
from .call import KEYWORDS, canonical_key, finish, lower
from .errors import Cancelled, InvalidRequest, OrchestraError
from .plain import shown
from .progress import open_progress
from .reply import Reply

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from .engine import Engine
    from .resume import ResumeFile
    from .structured import Parser

_ROWS_AT_ONCE = 256  # rows that are begun before others get their turn


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
        self.rows: Iterator[Any] = iter(inputs)
        self.concurrency = concurrency
        self.resume = resume
        self.options = options
        self.calls = core.Calls()
        self.live = engine._live()
        # The options as the core reads them, for all rows that bring none; None: they are wrong, and each row says so.
        self.lowered: dict[str, Any] | None = None
        self.parser: Parser | None = None
        try:
            self.lowered, self.parser = lower(None, options.copy())
            self.lowered.pop("messages", None)
        except OrchestraError:
            pass
        self.results: list[Any] = []  # of a row that was begun: None, its reply as it came, then what the caller gets
        self.keys: dict[int, str] = {}  # of rows that the resume file does not hold
        self.parsers: dict[int, Parser | None] = {}  # of rows with options of their own
        self.open = 0  # rows in flight
        self.exhausted = False
        self.stopped = False
        self.interrupted = False
        self.done = 0
        self.failed = 0
        self.spent = 0.0
        self.total = len(inputs) if isinstance(inputs, Sized) else None
        self.progress = open_progress(progress, self.total)
        # Reading a list takes no time; another input may take long: what has ended meanwhile is kept at once.
        self.reads_slowly = not isinstance(inputs, list | tuple)
        self.is_watched = self.progress is not None or resume is not None or self.parser is not None

    @property
    def running(self) -> bool:
        return self.open > 0 or not (self.exhausted or self.stopped)

    def begin(self) -> bool:
        """Begins rows while there is room; True when more could be begun at once."""
        if not self.reads_slowly and self.resume is None and self.lowered is not None:
            return self._begin_together(self.lowered)
        for _ in range(_ROWS_AT_ONCE):
            if self.exhausted or self.stopped or self.open >= self.concurrency:
                return False
            try:
                item = next(self.rows)
            except StopIteration:
                self.exhausted = True
                return False
            self.results.append(None)
            self._begin_row(len(self.results) - 1, item)
            if self.reads_slowly:
                self.accept(self.calls.collect(self.results, False))
        return True

    def _begin_together(self, options: dict[str, Any]) -> bool:
        room = min(self.concurrency - self.open, _ROWS_AT_ONCE)
        if self.exhausted or self.stopped or room <= 0:
            return False
        items = list(islice(self.rows, room))
        self.exhausted = len(items) < room
        first = len(self.results)
        self.results += [None] * len(items)
        while items and not self.stopped:
            begun = self.calls.add_all(self.live, options, items, first)
            self.open = len(self.calls)
            if begun < len(items):
                self._begin_row(first + begun, items[begun])
                begun += 1
            del items[:begun]
            first += begun
        return not self.exhausted and self.open < self.concurrency

    def _begin_row(self, index: int, item: Any) -> None:
        try:
            call, parser = lower(*self._split(item))
            if self.resume is not None and self._restore(index, call, parser):
                return
            if parser is not self.parser:
                self.parsers[index] = parser
            self.open = self.calls.add(self.live, call, index)
        except OrchestraError as error:
            self._end(index, error)
        except RuntimeError as error:
            if not self.live.closed:
                raise
            self.stopped = True
            self._end(index, Cancelled(str(error)))

    def _split(self, item: Any) -> tuple[Any, dict[str, Any]]:
        if not isinstance(item, dict) or "messages" not in item:
            return item, self.options.copy()
        for name in item:
            if name != "messages" and name not in KEYWORDS:
                raise InvalidRequest(f"{name}: no call has this keyword")
        return item["messages"], self.options | {name: value for name, value in item.items() if name != "messages"}

    def _restore(self, index: int, call: dict[str, Any], parser: Parser | None) -> bool:
        assert self.resume is not None
        try:
            key = canonical_key(call)
        except (TypeError, ValueError, RecursionError):
            return False  # no JSON: the core says what is wrong
        stored = self.resume.lookup(key)
        if stored is None:
            self.keys[index] = key
            return False
        self._end(index, finish(core.restore(stored), parser))
        return True

    def accept(self, indices: list[int]) -> None:
        """Takes in the rows whose replies have come."""
        self.open -= len(indices)
        for index in indices:
            if self.is_watched or index in self.parsers or not self.results[index]._is_plain:
                self._accept_row(index)

    def _accept_row(self, index: int) -> None:
        try:
            reply = finish(self.results[index], self.parsers.pop(index, self.parser))
        except OrchestraError as error:
            if isinstance(error, Cancelled):
                self.stopped = True  # the engine was closed
            self._end(index, error)
        else:
            if self.resume is not None and index in self.keys:
                self.resume.add(self.keys.pop(index), reply._dump())
            self._end(index, reply)

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
        self.calls.cancel_all("the map was stopped")

    def interrupt(self) -> None:
        """Stops after an interrupt, which may have caught anything between two steps."""
        self.stop()
        self.interrupted = True
        self.open = len(self.calls)

    def _accept_lost(self) -> None:
        """Replies that an interrupt kept from accept()."""
        for index, result in enumerate(self.results):
            is_parsed = self.parser is not None or index in self.parsers
            if isinstance(result, Reply) and (is_parsed or index in self.keys or result._fault is not None):
                self._accept_row(index)

    def batch(self) -> Batch:
        if self.interrupted:
            self._accept_lost()
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
        raise InvalidRequest(f"concurrency: must be a whole number, 1 or more, not {shown(concurrency)}")
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
                    state.accept(state.calls.collect(state.results, True))
        except KeyboardInterrupt:  # the first one stops; a second one, below, is raised
            state.interrupt()
            while state.open:
                state.accept(state.calls.collect(state.results, True))
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
    loop.add_reader(state.calls.fileno(), filled.set)
    try:
        while state.running:
            if state.begin():
                await asyncio.sleep(0)
            elif state.open:
                await filled.wait()
                filled.clear()
            state.accept(state.calls.collect(state.results, False))
        return state.batch()
    except BaseException:
        state.stop()
        raise
    finally:
        loop.remove_reader(state.calls.fileno())
        if state.resume is not None:
            state.resume.close()
