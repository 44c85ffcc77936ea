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


class Reply:
    """The answer to one call.

    Finish reason, usage and cost are known when the call returns; the rest is read from the provider's body when it is
    first asked for and never raises, except `parsed`.
    """

    __slots__ = ("__weakref__", "_outcome", "_parsed", "_parser")

    _parsed: Any  # set by the first use of parsed

    def __init__(self, outcome: core.Outcome, parser: Parser | None = None) -> None:
        self._outcome = outcome
        self._parser = parser

    @property
    def text(self) -> str:
        """The text of the answer, "" when there is none."""
        return self._outcome.text

    @property
    def refusal(self) -> str | None:
        return self._outcome.refusal

    @property
    def reasoning(self) -> str | None:
        """The text of the model's reasoning, where the provider shows it."""
        return self._outcome.reasoning

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of OpenAI's chat shape: append it to the messages of any later call, unchanged."""
        return self._outcome.message

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [ToolCall(*call) for call in self._outcome.tool_calls]

    @property
    def choices(self) -> list[Choice]:
        """All answers of a call with n > 1; the reply itself is the first."""
        return [Choice(fields) for fields in self._outcome.choices]

    @property
    def logprobs(self) -> Any:
        return self._outcome.logprobs

    @property
    def parsed(self) -> Any:
        """The text as an instance of what `response_format` asked for; None when nothing was asked for.

        Raises:
            SchemaMismatch: The text is no JSON of that schema.
            Truncated: The answer was cut by the token limit.
        """
        if self._parser is None:
            return None
        try:
            return self._parsed
        except AttributeError:
            self._parsed = self._parser(self.text, self.finish_reason)
            return self._parsed

    @property
    def finish_reason(self) -> str | None:
        """stop, length, tool_calls, content_filter, refusal, budget or other; None only on a partial reply."""
        return self._outcome.finish_reason

    @property
    def finish_reason_raw(self) -> str | None:
        """The provider's own word."""
        return self._outcome.finish_reason_raw

    @property
    def usage(self) -> Usage:
        return self._outcome.usage

    @property
    def cost(self) -> Cost:
        """What the call cost, failed attempts included."""
        return self._outcome.cost

    @property
    def model(self) -> str:
        """provider/model, as it was asked."""
        return self._outcome.model

    @property
    def served_model(self) -> str | None:
        """The model's name as the provider states it."""
        return self._outcome.served_model

    @property
    def provider(self) -> str:
        return self._outcome.provider

    @property
    def attempts(self) -> list[Attempt]:
        return self._outcome.attempts

    @property
    def latency(self) -> float:
        """Seconds since the call began, waits and retries included."""
        return self._outcome.latency

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from the call's beginning to the first content (of a plain call: the first byte of the body)."""
        return self._outcome.time_to_first_token

    @property
    def trace_id(self) -> str | None:
        """None: no traces are kept."""
        return None

    @property
    def decision(self) -> None:
        """None: the call named its models."""
        return None

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers by lower-case name."""
        return self._outcome.headers

    @property
    def raw(self) -> dict[str, Any]:
        """The provider's object; of a stream the same reply in the format's plain shape."""
        return self._outcome.raw

    @property
    def body(self) -> bytes:
        return self._outcome.body

    def __repr__(self) -> str:
        text, finish = _short(self.text), self.finish_reason
        return f"Reply(text={text!r}, model={self.model!r}, finish_reason={finish!r}, cost={self.cost!r})"


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
