"""`orchestra demo`: 200 prompts through two faulty providers on this machine, then a real model, without any key.

The providers are test doubles over real sockets: they are slow, refuse, break and cut their answers on purpose. Every
row names two models, so that the second is asked where the first fails. What went wrong and how it was survived is
counted from `reply.attempts`, which any program can read.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli import DONE, FAILED, UsageError, print_text
from .errors import OrchestraError
from .progress import Progress, open_progress

if TYPE_CHECKING:
    from .engine import Engine
    from .reply import Attempt, Reply

_PROMPTS = Path(__file__).parent / "data" / "demo_prompts.txt"
_PROTOCOLS = ("openai-chat", "anthropic-messages")
_LATENCY = (0.02, 0.2)  # seconds: the median and the 99th percentile of the fake providers
_CONCURRENCY = 32
_STREAMED_EVERY = 5  # each fifth prompt is streamed
_STREAMS_AT_ONCE = 8
_ASKS = 4  # a stream that broke is asked for again at most so often in all
_LOCAL_PROMPTS = (
    "Name one colour.",
    "What is the capital of France?",
    "Count from one to five.",
    "Write one short sentence about the sea.",
    "Is ice cold? Answer in one word.",
    "Name an animal that can fly.",
    "Say hello in Italian.",
    "What do bees make?",
)
_LOCAL_TOKENS = 24
_LOCAL_SECONDS = 25.0  # for all of them; then the demo goes on

# US dollars per million tokens. Invented, as the models are.
_PRICES = {
    "north/swift": (0.25, 1.0),
    "north/wise": (2.5, 10.0),
    "south/calm": (1.0, 5.0),
}
_ROTATION = (["north/swift", "south/calm"], ["south/calm", "north/wise"], ["north/wise", "south/calm"])

Say = Callable[[str], None]


def run_demo(*, prompts: str | None = None, seed: int = 0, as_json: bool = False) -> int:
    """Runs it and prints the report.

    Args:
        prompts: A file instead of the 200 prompts: a prompt a line; `.jsonl` of row dicts; `.csv` or `.csv.gz` with a
            column `prompt`.
        seed: Decides texts, delays and faults of the fake providers.
        as_json: One object and nothing else on stdout.
    """
    rows = read_prompts(Path(prompts) if prompts is not None else _PROMPTS)
    say: Say = (lambda text: None) if as_json else (lambda text: print_text(text))
    tally = Tally()
    started = time.monotonic()
    _ask_fakes(rows, seed, tally, say, wanted=False if as_json else None)
    seconds = time.monotonic() - started
    local = _ask_local(tally, say, wanted=not as_json)
    if as_json:
        import json

        print_text(json.dumps(tally.summary(rows=len(rows), seconds=seconds, local=local), ensure_ascii=False))
    else:
        for line in tally.report(rows=len(rows), seconds=seconds):
            say(line)
    return DONE if tally.lost == 0 else FAILED


def read_prompts(path: Path) -> list[dict[str, Any]]:
    """Rows for a map.

    Raises:
        UsageError: The file cannot be read, has no rows, or a line is wrong.
    """
    import csv
    import gzip
    import io
    import json

    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    rows: list[dict[str, Any]] = []
    if kind == ".csv":
        table = csv.DictReader(io.StringIO(text, newline=""))
        if "prompt" not in (table.fieldnames or ()):
            raise UsageError(f"{path}: has no column named prompt")
        rows = [{"messages": row["prompt"]} for row in table if (row["prompt"] or "").strip()]
    elif kind == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}:{number}: no JSON: {error}") from None
            if not isinstance(row, dict) or "messages" not in row:
                raise UsageError(f'{path}:{number}: a row is an object such as {{"messages": "Hello"}}')
            # The demo has models of its own.
            rows.append({name: value for name, value in row.items() if name not in ("model", "route")})
    else:
        rows = [{"messages": line.strip()} for line in text.splitlines() if line.strip()]
    if not rows:
        raise UsageError(f"{path}: holds no prompt")
    return rows


class Tally:
    """What happened, by model and by fault."""

    def __init__(self) -> None:
        self.answered = 0
        self.lost = 0
        self._calls: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies: dict[str, list[float]] = {}
        self._tokens: Counter[str] = Counter()
        self._costs: dict[str, list[Any]] = {}
        self._survived: dict[tuple[str, str], list[float]] = {}  # (what went wrong, remedy) -> seconds waited

    def add(self, result: Reply | OrchestraError, *, asked_again: bool = False) -> None:
        """Counts one call.

        Args:
            result: How it ended.
            asked_again: It failed, and the demo itself asks once more.
        """
        attempts: list[Attempt] = list(result.attempts)
        failed = isinstance(result, OrchestraError)
        if not asked_again:
            self.answered += not failed
            self.lost += failed
        seen: set[str] = set()
        for position, attempt in enumerate(attempts):
            model = attempt.model
            following = attempts[position + 1] if position + 1 < len(attempts) else None
            if model in seen:
                self._retries[model] += 1
            else:
                self._calls[model] += 1
                seen.add(model)
            self._costs.setdefault(model, []).append(attempt.cost)
            usage = attempt.usage
            if usage is not None and usage.total_tokens is not None:
                self._tokens[model] += usage.total_tokens
            # The error of a stream that broke after it began belongs to its last attempt, whatever that one says.
            error = attempt.error
            if error is None and following is None and failed:
                error = f"{type(result).__name__}: {result}"
            if error is None:
                self._latencies.setdefault(model, []).append(attempt.latency)
                continue
            self._errors[model] += 1
            self._note(error, attempt, following, asked_again)

    def _note(self, error: str, attempt: Attempt, following: Attempt | None, asked_again: bool) -> None:
        name = error.partition(":")[0]
        wrong = f"{name} ({attempt.status})" if attempt.status not in (None, 200) else name
        waited = 0.0
        if following is None:
            remedy = "text had been delivered: asked again by the demo" if asked_again else "not survived"
        else:
            waited = max(0.0, following.started - attempt.started - attempt.latency)
            remedy = "tried again" if following.model == attempt.model else f"fell back to {following.model}"
        self._survived.setdefault((wrong, remedy), []).append(waited)

    def models(self) -> dict[str, dict[str, Any]]:
        """Figures of each model: calls retries errors, p50 and p99 of an answer in seconds, tokens, usd."""
        from .reply import Cost

        rows = {}
        for model in sorted(self._calls):
            latencies = sorted(self._latencies.get(model, []))
            rows[model] = {
                "calls": self._calls[model],
                "retries": self._retries[model],
                "errors": self._errors[model],
                "p50": quantile(latencies, 0.50),
                "p99": quantile(latencies, 0.99),
                "tokens": self._tokens[model],
                "usd": Cost.sum(self._costs[model]).usd,
            }
        return rows

    def survived(self) -> list[dict[str, Any]]:
        """What went wrong, how often, and what was done about it; the most frequent first."""
        entries = []
        for (wrong, remedy), waits in self._survived.items():
            entries.append({"error": wrong, "count": len(waits), "remedy": remedy, "waited": [min(waits), max(waits)]})
        return sorted(entries, key=lambda entry: (-entry["count"], entry["error"], entry["remedy"]))

    def summary(self, *, rows: int, seconds: float, local: str | None) -> dict[str, Any]:
        return {
            "models": self.models(),
            "prompts": rows,
            "answered": self.answered,
            "lost": self.lost,
            "seconds": seconds,
            "survived": self.survived(),
            "local": local,
        }

    def report(self, *, rows: int, seconds: float) -> Iterable[str]:
        yield ""
        table = [["model", "calls", "retries", "errors", "p50 s", "p99 s", "tokens", "usd"]]
        for model, row in self.models().items():
            usd = "unknown" if row["usd"] is None else f"{row['usd']:.6f}"
            counts = [f"{row[name]:,}" for name in ("calls", "retries", "errors")]
            table.append([model, *counts, f"{row['p50']:.3f}", f"{row['p99']:.3f}", f"{row['tokens']:,}", usd])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            yield "  ".join([line[0].ljust(widths[0]), *cells])
        yield ""
        yield "What went wrong, and how each was survived"
        for entry in self.survived():
            low, high = entry["waited"]
            wait = (
                ""
                if high < 0.001
                else f" after {low:.2f} s"
                if high - low < 0.01
                else f" after {low:.2f} to {high:.2f} s"
            )
            yield f"{entry['count']:5} x {entry['error']:26} {entry['remedy']}{wait}"
        if not self._survived:
            yield "      nothing did"
        yield ""
        yield f"{rows} prompts in {seconds:.1f} s; {self.answered} calls answered, {self.lost} lost."


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; 0.0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _ask_fakes(rows: list[dict[str, Any]], seed: int, tally: Tally, say: Say, wanted: bool | None) -> None:
    from .config import Model, Provider, Timeout
    from .engine import Engine
    from .testing import FakeProviders, Fault

    faults = [
        Fault.status(429, retry_after=1, every=19),
        Fault.status(500, every=13),
        Fault.status(529, every=37),
        Fault.cut(after_events=3, every=23),
        Fault.reset(every=41),
        Fault.stall(after_events=2, seconds=20, every=67),
    ]
    with FakeProviders(_PROTOCOLS, latency=_LATENCY, faults=faults, seed=seed) as fake:
        addresses = {"north": "openai-chat", "south": "anthropic-messages"}
        providers = [Provider(name, protocol=p, base_url=fake.url(p), api_key="fake") for name, p in addresses.items()]
        models = [Model(name, input_price=i, output_price=o) for name, (i, o) in _PRICES.items()]
        asked = [{"max_tokens": 200, **row, "model": _ROTATION[i % len(_ROTATION)]} for i, row in enumerate(rows)]
        streamed = asked[_STREAMED_EVERY - 1 :: _STREAMED_EVERY]
        mapped = [row for i, row in enumerate(asked) if i % _STREAMED_EVERY != _STREAMED_EVERY - 1]
        timeout = Timeout(total=30, first_token=1.5, idle=1.5)
        with Engine(providers=providers, models=models) as engine:
            say(f"{len(rows)} prompts to two faulty providers: {len(mapped)} in one map, {len(streamed)} as streams.")
            batch = engine.map(mapped, concurrency=_CONCURRENCY, timeout=timeout, progress=wanted)
            for result in batch:
                tally.add(result)
            if not batch.complete:
                raise KeyboardInterrupt
            _ask_streams(engine, streamed, tally, timeout, open_progress(wanted, len(streamed)))


def _ask_streams(
    engine: Engine, rows: list[dict[str, Any]], tally: Tally, timeout: Any, progress: Progress | None
) -> None:
    import concurrent.futures

    def ask(row: dict[str, Any]) -> list[Reply | OrchestraError]:
        results: list[Reply | OrchestraError] = []
        call = dict(row)
        messages = call.pop("messages")
        while True:
            try:
                with engine.stream(messages, timeout=timeout, **call) as stream:
                    for _ in stream:
                        pass
                results.append(stream.reply())
                return results
            except OrchestraError as error:
                results.append(error)
                if len(results) == _ASKS:
                    return results

    with concurrent.futures.ThreadPoolExecutor(_STREAMS_AT_ONCE) as pool:
        futures = [pool.submit(ask, row) for row in rows]
        try:
            for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
                results = future.result()
                for result in results[:-1]:
                    tally.add(result, asked_again=True)
                tally.add(results[-1])
                if progress is not None:
                    progress.update(done)
        except BaseException:
            for future in futures:
                future.cancel()
            engine.close(timeout=0)
            raise
    if progress is not None:
        progress.close()


def _ask_local(tally: Tally, say: Say, wanted: bool) -> str | None:
    """Asks the real model on this machine; gives why there was none."""
    from .testing.local_model import LocalModel, missing

    reason = missing()
    if reason is None:
        try:
            with LocalModel() as local:
                return _ask_local_model(local.url, local.model, tally, say, wanted)
        except RuntimeError as error:  # it did not start
            reason = str(error)
    say("")
    say(reason)
    return reason


def _ask_local_model(url: str, name: str, tally: Tally, say: Say, wanted: bool) -> str | None:
    from .config import Model, Provider
    from .engine import Engine

    model = f"local/{name}"
    say("")
    say(f"{len(_LOCAL_PROMPTS)} prompts to a real model on this machine, {model}:")
    provider = Provider("local", protocol="openai-chat", base_url=url, privacy="local")
    end = time.monotonic() + _LOCAL_SECONDS
    with Engine(providers=[provider], models=[Model(model, input_price=0, output_price=0)]) as engine:
        for prompt in _LOCAL_PROMPTS:
            left = end - time.monotonic()
            if left <= 0:
                say("  (this machine is busy; the rest is left out)")
                return None
            if wanted:
                print_text(f"  {prompt}  ", end="")
            try:
                with engine.stream(
                    prompt, model=model, max_tokens=_LOCAL_TOKENS, temperature=0, timeout=left
                ) as stream:
                    for delta in stream:
                        if wanted:
                            print_text(" ".join(delta.text.split("\n")), end="")
                            sys.stdout.flush()
                tally.add(stream.reply())
            except OrchestraError as error:
                # A slow machine is no failure of the demo.
                tally.add(error, asked_again=True)
                return str(error)
            finally:
                if wanted:
                    print_text("")
    return None
