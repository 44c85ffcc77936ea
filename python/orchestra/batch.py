"""Batch: what a map gives, one outcome for each input, in input order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from .errors import OrchestraError

if TYPE_CHECKING:
    from .reply import Cost, Reply

_SHOWN_ROWS = 20
_SHOWN_CHARACTERS = 200


class Batch(Sequence["Reply | OrchestraError"]):
    """The outcomes of a map: a Reply or an OrchestraError for each row.

    `complete` says whether every row was answered or failed by itself; after a stop it is False, and the rows without
    an outcome hold `Cancelled`.
    """

    def __init__(self, results: list[Reply | OrchestraError], complete: bool = True) -> None:
        self._results = results
        self._cost: Cost | None = None
        self.complete = complete

    @property
    def ok(self) -> list[Reply]:
        """The replies, without the failed rows."""
        return [result for result in self._results if not isinstance(result, OrchestraError)]

    @property
    def errors(self) -> list[tuple[int, OrchestraError]]:
        """The failed rows, each with its index."""
        return [(index, result) for index, result in enumerate(self._results) if isinstance(result, OrchestraError)]

    @property
    def cost(self) -> Cost:
        """The sum over all rows, what the failed ones cost included."""
        if self._cost is None:
            from .reply import Cost

            self._cost = Cost.sum(cost for result in self._results for cost in _costs(result))
        return self._cost

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, index: int) -> Reply | OrchestraError: ...
    @overload
    def __getitem__(self, index: slice) -> list[Reply | OrchestraError]: ...
    def __getitem__(self, index: int | slice) -> Reply | OrchestraError | list[Reply | OrchestraError]:
        return self._results[index]

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each input: text model finish_reason input_tokens output_tokens cost_usd latency
        error. Seconds, US dollars; what is not known is missing.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError('to_pandas() needs pandas: pip install "orchestra-core[pandas]"') from None
        frame = pandas.DataFrame(self._columns())
        tokens = {"input_tokens": "Int64", "output_tokens": "Int64"}
        return frame.astype({**tokens, "cost_usd": "float64", "latency": "float64"})

    def to_arrow(self) -> Any:
        """The same as a pyarrow Table.

        Raises:
            ImportError: pyarrow is not installed.
        """
        try:
            import pyarrow
        except ImportError:
            raise ImportError('to_arrow() needs pyarrow: pip install "orchestra-core[arrow]"') from None
        text, count, number = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
        types = {"input_tokens": count, "output_tokens": count, "cost_usd": number, "latency": number}
        return pyarrow.table(
            {name: pyarrow.array(values, types.get(name, text)) for name, values in self._columns().items()}
        )

    def _columns(self) -> dict[str, list[Any]]:
        rows = [_row(result) for result in self._results]
        names = ("text", "model", "finish_reason", "input_tokens", "output_tokens", "cost_usd", "latency", "error")
        return {name: [row[position] for row in rows] for position, name in enumerate(names)}

    def __repr__(self) -> str:
        return f"<Batch {self._summary()}>"

    def _summary(self) -> str:
        failed = len(self.errors)
        cost = self.cost
        if cost.known and cost.usd is not None:
            money = f"${cost.usd:.6g}"
        else:
            least = getattr(cost, "at_least_usd", None)
            money = f"at least ${least:.6g}" if least else "cost unknown"
        parts = [f"{len(self)} rows", f"{len(self) - failed} ok", f"{failed} failed", money]
        return ", ".join(parts if self.complete else [*parts, "stopped"])

    def _repr_html_(self) -> str:
        from html import escape

        lines = [f"<p>Batch: {escape(self._summary())}</p>", "<table><thead><tr><th></th>"]
        lines += [f"<th>{name}</th>" for name in ("model", "text or error", "finish_reason", "cost_usd", "latency")]
        lines.append("</tr></thead><tbody>")
        for index, result in enumerate(self._results[:_SHOWN_ROWS]):
            text, model, finish, _, _, usd, latency, error = _row(result)
            shown = error if text is None else text
            if len(shown) > _SHOWN_CHARACTERS:
                shown = shown[: _SHOWN_CHARACTERS - 1] + "…"
            numbers = ["" if value is None else f"{value:.4g}" for value in (usd, latency)]
            cells = [str(index), model or "", shown, finish or "", *numbers]
            lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
        lines.append("</tbody></table>")
        if len(self) > _SHOWN_ROWS:
            lines.append(f"<p>{len(self) - _SHOWN_ROWS} more rows</p>")
        return "".join(lines)


def _costs(result: Reply | OrchestraError) -> list[Cost]:
    if isinstance(result, OrchestraError):
        return [attempt.cost for attempt in result.attempts if attempt.cost is not None]
    return [result.cost]


def _row(result: Reply | OrchestraError) -> tuple[Any, ...]:
    from .reply import Cost

    usd = Cost.sum(_costs(result)).usd
    if isinstance(result, OrchestraError):
        return None, result.model, None, None, None, usd, None, f"{type(result).__name__}: {result}"
    usage = result.usage
    tokens = (None, None) if usage is None else (usage.input_tokens, usage.output_tokens)
    return result.text, result.model, result.finish_reason, *tokens, usd, result.latency, None
