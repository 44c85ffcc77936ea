"""From the keywords of a call to what the core reads, and from its outcome to a Reply or an exception."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypedDict

from .config import MOST_SECONDS, Retry, Timeout
from .errors import InvalidRequest, from_fault
from .plain import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .reply import Attempt, Reply
    from .structured import Parser

_log = logging.getLogger("orchestra")


class CallOptions(TypedDict, total=False):
    """The keywords of `chat`, `stream`, `map` and their asynchronous forms, all optional."""

    route: str
    model: str | Sequence[str]
    system: str
    tools: Sequence[Callable[..., Any] | dict[str, Any] | type]
    tool_choice: str
    response_format: Any
    temperature: float
    top_p: float
    max_tokens: int
    stop: str | Sequence[str]
    seed: int
    reasoning_effort: str | int
    n: int
    logprobs: bool | int
    parallel_tool_calls: bool
    service_tier: str
    top_k: int
    frequency_penalty: float
    presence_penalty: float
    tags: dict[str, Any]
    timeout: float | Timeout
    retry: Retry
    max_cost: float
    extra: dict[str, Any]
    drop_unsupported: bool


KEYWORDS = frozenset(CallOptions.__annotations__)

# The keywords whose values are not yet what the core reads.
_TO_LOWER = frozenset(
    ["tools", "tool_choice", "response_format", "stop", "timeout", "retry", "tags", "drop_unsupported", "max_cost"]
)
_AS_THEY_ARE = KEYWORDS - _TO_LOWER
# The keywords that say how to ask, not what.
_NOT_ASKED = frozenset(["timeout", "retry", "tags"])


def check_keywords(function: str, options: Any) -> None:
    """Raises TypeError for a keyword that no call has."""
    if KEYWORDS.issuperset(options):
        return
    for name in options:
        if name not in KEYWORDS:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def accept(function: str, messages: Any, options: Any) -> tuple[dict[str, Any], Parser | None]:
    """check_keywords() and lower()."""
    if _AS_THEY_ARE.issuperset(options):
        options["messages"] = messages
        return options, None
    check_keywords(function, options)
    return lower(messages, options)


def lower(messages: Any, options: Any) -> tuple[dict[str, Any], Parser | None]:
    """The call as a dict of JSON values, and what turns the text of its answer into an instance. Takes the dict of
    options for its own. None in it is the same as absent.

    Raises:
        InvalidRequest: A value that is wrong; the message begins with its path.
    """
    options["messages"] = messages
    if _TO_LOWER.isdisjoint(options):
        return options, None
    call = {name: value for name, value in options.items() if value is not None}
    parser: Parser | None = None
    if "tools" in call:
        from .tools import lower_tools

        call["tools"] = lower_tools(call["tools"])
    if "tool_choice" in call:
        from .tools import lower_tool_choice

        call["tool_choice"] = lower_tool_choice(call["tool_choice"], call.get("tools"))
    if "response_format" in call:
        from .structured import lower_response_format

        call["response_format"], parser = lower_response_format(call["response_format"])
    if "stop" in call and isinstance(call["stop"], list | tuple) and not call["stop"]:
        del call["stop"]
    if "timeout" in call:
        call["timeout"] = _timeout(call["timeout"])
    if "retry" in call:
        if not isinstance(call["retry"], Retry):
            raise InvalidRequest(f"retry: must be an orchestra.Retry, not {type(call['retry']).__name__}")
        call["retry"] = call["retry"].config()
    if "tags" in call:
        tags = call["tags"]
        if not isinstance(tags, dict) or not all(isinstance(name, str) for name in tags):
            raise InvalidRequest(f"tags: must be a dict with str keys, not {type(tags).__name__}")
    if "drop_unsupported" in call and not isinstance(call["drop_unsupported"], bool):
        raise InvalidRequest(f"drop_unsupported: must be a bool, not {type(call['drop_unsupported']).__name__}")
    if "max_cost" in call:
        raise InvalidRequest("max_cost: budgets are not built yet; leave it out")
    return call, parser


def _timeout(value: Any) -> dict[str, Any]:
    if isinstance(value, Timeout):
        return value.config()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_SECONDS:
        wanted = "a positive number of seconds or an orchestra.Timeout"
        raise InvalidRequest(f"timeout: must be {wanted}, not {shown(value)}")
    return {"total": value}


def finish(reply: Reply, parser: Parser | None) -> Reply:
    """The reply of an ended call, or its error raised. Logs what was survived on the way."""
    if not reply._is_plain:
        attempts = reply.attempts
        if len(attempts) > 1:
            _log_attempts(attempts)
        fault = reply._fault
        if fault is not None:
            kind, message, fields = fault
            if kind == "Interrupted":
                fields["partial"] = reply
            raise from_fault(kind, message, provider=reply.provider, model=reply.model, attempts=attempts, **fields)
    if parser is not None:
        reply._parser = parser
    return reply


def _log_attempts(attempts: list[Attempt]) -> None:
    """Retries and fallbacks at INFO: models, classes and status, never what was said."""
    if not _log.isEnabledFor(logging.INFO):
        return
    for number, (failed, following) in enumerate(zip(attempts, attempts[1:], strict=False), start=1):
        status = "no answer" if failed.status is None else f"status {failed.status}"
        try:
            if failed.model == following.model:
                _log.info("retried %s after %s (%s), try %d", failed.model, failed.error_kind, status, number + 1)
            else:
                _log.info(
                    "fell back from %s to %s after %s (%s)", failed.model, following.model, failed.error_kind, status
                )
        except Exception:  # a handler of the program that raises must not harm the call
            return


def canonical_key(call: dict[str, Any]) -> str:
    """SHA-256 (hex) of what is asked: the same for every way to write the same request.

    Raises:
        TypeError, ValueError: The call holds something that is no JSON.
    """
    import hashlib
    import json

    asked = {name: value for name, value in call.items() if value is not None and name not in _NOT_ASKED}
    messages = asked["messages"]
    if isinstance(messages, str):
        messages = {"role": "user", "content": messages}
    asked["messages"] = [messages] if isinstance(messages, dict) else messages
    if isinstance(asked.get("model"), str):
        asked["model"] = [asked["model"]]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
