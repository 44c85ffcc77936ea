"""What a call returns. The core keeps the provider's body; everything but finish reason and usage is read on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._compiled import core

if TYPE_CHECKING:
    from .structured import Parser

Attempt = core.Attempt
Cost = core.Cost
Delta = core.Delta
Usage = core.Usage


def _restore(kind: str, state: tuple[Any, ...]) -> Any:
    """What pickle and copy call for a value of the core."""
    return getattr(core, kind)._restore(state)


class ToolCall:
    """A call of a function that the model asks for.

    `arguments` is the parsed object ("" and "null" are {}), or None when `arguments_json` is no JSON object.
    """

    __slots__ = ("arguments_json", "id", "name")

    def __init__(self, id: str, name: str, arguments_json: str) -> None:
        self.id = id
        self.name = name
        self.arguments_json = arguments_json

    @property
    def arguments(self) -> dict[str, Any] | None:
        if self.arguments_json.strip() in ("", "null"):
            return {}
        import json

        try:
            value = json.loads(self.arguments_json)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ToolCall):
            return NotImplemented
        return (self.id, self.name, self.arguments_json) == (other.id, other.name, other.arguments_json)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ToolCall(id={self.id!r}, name={self.name!r}, arguments_json={self.arguments_json!r})"


class Choice:
    """One of the n answers of a reply."""

    __slots__ = (
        "finish_reason", "finish_reason_raw", "index", "logprobs", "message", "reasoning", "refusal", "text",
        "tool_calls",
    )  # fmt: skip

    def __init__(self, fields: dict[str, Any]) -> None:
        self.index: int = fields["index"]
        self.text: str = fields["text"]
        self.refusal: str | None = fields["refusal"]
        self.reasoning: str | None = fields["reasoning"]
        self.message: dict[str, Any] = fields["message"]
        self.tool_calls = [ToolCall(*call) for call in fields["tool_calls"]]
        self.logprobs: Any = fields["logprobs"]
        self.finish_reason: str | None = fields["finish_reason"]
        self.finish_reason_raw: str | None = fields["finish_reason_raw"]

    def __repr__(self) -> str:
        return f"Choice(index={self.index}, text={_short(self.text)!r}, finish_reason={self.finish_reason!r})"


class Reply(core.Outcome):
    """The answer to one call. It comes from a call; it cannot be made.

    Finish reason, usage and cost are known when the call returns; the rest is read from the provider's body when it is
    first asked for and never raises, except `parsed`.
    """

    __slots__ = ("__weakref__", "_parsed", "_parser")

    _parsed: Any  # set by the first use of parsed
    _parser: Parser  # set when the call asked for structured output

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls of functions that the model asks for."""
        return [ToolCall(*call) for call in self._tool_calls]

    @property
    def choices(self) -> list[Choice]:
        """All answers of a call with n > 1; the reply itself is the first."""
        return [Choice(fields) for fields in self._choices]

    @property
    def parsed(self) -> Any:
        """The text as an instance of what `response_format` asked for; None when nothing was asked for.

        Raises:
            SchemaMismatch: The text is no JSON of that schema.
            Truncated: The answer was cut by the token limit.
        """
        try:
            return self._parsed
        except AttributeError:
            parser = getattr(self, "_parser", None)
            self._parsed = None if parser is None else parser(self.text, self.finish_reason)
            return self._parsed

    @property
    def trace_id(self) -> str | None:
        """None: no traces are kept."""
        return None

    @property
    def decision(self) -> None:
        """None: the call named its models."""
        return None

    def __repr__(self) -> str:
        text, finish = _short(self.text), self.finish_reason
        return f"Reply(text={text!r}, model={self.model!r}, finish_reason={finish!r}, cost={self.cost!r})"


core.set_reply_class(Reply)


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
