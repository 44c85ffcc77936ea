"""What can go wrong with a call, as one tree of exceptions.

    OrchestraError
    ├── ConfigError (ValueError)          a constructor, a file, a key that is missing
    ├── RequestError                      this request can never succeed as it is
    │   ├── InvalidRequest (ValueError)
    │   ├── ContextTooLong
    │   └── Unsupported
    ├── RoutingError
    │   └── NoEligibleModel               .candidates
    ├── BudgetError
    │   └── BudgetExceeded
    ├── ProviderError                     the provider answered, and said no
    │   ├── AuthenticationError
    │   ├── PermissionDenied
    │   ├── NotFound
    │   ├── RateLimited
    │   ├── Overloaded
    │   ├── ContentFiltered
    │   ├── ServerError
    │   └── ProtocolError
    ├── TransportError                    no answer, or not all of it
    │   ├── ConnectError
    │   ├── TlsError
    │   ├── DeadlineExceeded (TimeoutError)   .phase: queue, connect, first_token, idle, total
    │   ├── Interrupted                   .partial: the reply as far as it came
    │   └── Cancelled
    └── OutputError                       the model answered, and the answer is not what was asked for
        ├── SchemaMismatch                .text .path
        └── Truncated

Every one has `provider model status retry_after is_retryable attempts trace_id body`; any may be None, attempts may be
empty. `str(error)` is the sentence; `body` is an excerpt of the provider's answer from which keys have been removed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Parameters = ParamSpec("_Parameters")
_Returned = TypeVar("_Returned")

# Fields of every error, in the order in which repr shows them.
_FIELDS = ("provider", "model", "status", "retry_after", "is_retryable", "trace_id", "body")
# Fields that may hold objects of any kind; they survive a pickle only if they can be pickled themselves.
_RICH = ("attempts", "partial", "candidates")


class OrchestraError(Exception):
    """The root of the tree.

    Args:
        message: One sentence: what, where, and what to do.
        provider: Name of the provider that was asked.
        model: `provider/model` as it was asked.
        status: HTTP status, where there was an answer.
        retry_after: Seconds, as the provider asked.
        is_retryable: Whether the same request may succeed later.
        attempts: What was tried, in order.
        trace_id: The call's id in traces and logs.
        body: Excerpt of the provider's answer.
    """

    # Fields that only this class has, with their defaults.
    _own: dict[str, Any] = {}

    def __init__(
        self,
        message: str = "",
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        is_retryable: bool | None = None,
        attempts: list[Any] | None = None,
        trace_id: str | None = None,
        body: str | None = None,
        **own: Any,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        self.retry_after = retry_after
        self.is_retryable = is_retryable
        self.attempts: list[Any] = [] if attempts is None else list(attempts)
        self.trace_id = trace_id
        self.body = body
        for name, default in self._own.items():
            setattr(self, name, own.pop(name, default))
        if own:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {next(iter(own))!r}")

    def __repr__(self) -> str:
        shown = [repr(str(self))]
        for name in (*_FIELDS, "phase", "path"):
            value = getattr(self, name, None)
            if value is not None and name not in ("body", "trace_id"):
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in (*_FIELDS, "attempts", *self._own)}
        for name in _RICH:
            if name in fields and not _pickles(fields[name]):
                del fields[name]
        return _rebuild, (type(self), str(self), fields)


def _pickles(value: Any) -> bool:
    import pickle

    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _rebuild(kind: type[OrchestraError], message: str, fields: dict[str, Any]) -> OrchestraError:
    return kind(message, **fields)


class ConfigError(OrchestraError, ValueError):
    """A constructor's argument, a configuration file or a key is wrong or missing."""


def without_inner_frames(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """The function, whose ConfigErrors show no frame below it: keys stand in their locals, and error reporters send
    locals away."""

    @functools.wraps(function)
    def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Returned:
        try:
            return function(*args, **kwargs)
        except ConfigError as error:
            fault = error
        del args, kwargs
        fault.__context__ = None
        try:
            raise fault.with_traceback(None)
        finally:
            del fault

    return call


class RequestError(OrchestraError):
    """The request cannot succeed as it is."""


class InvalidRequest(RequestError, ValueError):
    """A wrong type or value; the message begins with its path, such as `messages[2].content[0].type`."""


class ContextTooLong(RequestError):
    """More tokens than the model's window holds."""


class Unsupported(RequestError):
    """The provider's format cannot express a field of this request."""


class RoutingError(OrchestraError):
    """No target could be chosen."""


class NoEligibleModel(RoutingError):
    """No model of the route meets the needs; `candidates` holds every one with its reasons."""

    _own = {"candidates": None}
    candidates: Any


class BudgetError(OrchestraError):
    """About money."""


class BudgetExceeded(BudgetError):
    """The call could cost more than what is left; nothing was sent."""


class ProviderError(OrchestraError):
    """The provider answered with an error."""


class AuthenticationError(ProviderError):
    """The key is wrong (401)."""


class PermissionDenied(ProviderError):
    """The key may not do this (403)."""


class NotFound(ProviderError):
    """No such model or path (404)."""


class RateLimited(ProviderError):
    """Too many requests or tokens (429), or no money left (402)."""


class Overloaded(ProviderError):
    """The provider has no capacity now (503, 529)."""


class ContentFiltered(ProviderError):
    """The provider's policy refused the prompt."""


class ServerError(ProviderError):
    """The provider failed (5xx, 408, 409, 425)."""


class ProtocolError(ProviderError):
    """The answer is not what the format promises, or is beyond a limit on input."""


class TransportError(OrchestraError):
    """No answer, or not all of it."""


class ConnectError(TransportError):
    """No connection: name, address, handshake of TCP, or a proxy that wants a password (407)."""


class TlsError(TransportError):
    """The handshake or the certificate failed."""


class DeadlineExceeded(TransportError, TimeoutError):
    """A time limit passed; `phase` is one of queue, connect, first_token, idle, total."""

    _own = {"phase": None}
    phase: str | None


class Interrupted(TransportError):
    """The stream or body ended before its end; `partial` is the Reply as far as it came."""

    _own = {"partial": None}
    partial: Any


class Cancelled(TransportError):
    """Somebody else ended this call: `close()`, or the stop of a map."""


class OutputError(OrchestraError):
    """The answer came, but not in the form that was asked for."""


class SchemaMismatch(OutputError):
    """`text` is not JSON of the schema; `path` names the first place, such as `address.number` ("" for the whole)."""

    _own = {"text": "", "path": ""}
    text: str
    path: str


class Truncated(OutputError):
    """Structured output was cut by the token limit; `text` is what came."""

    _own = {"text": ""}
    text: str


def _tree(root: type[OrchestraError]) -> dict[str, type[OrchestraError]]:
    names = {root.__name__: root}
    for child in root.__subclasses__():
        names.update(_tree(child))
    return names


KINDS: dict[str, type[OrchestraError]] = _tree(OrchestraError)


def from_fault(kind: str, message: str, **fields: Any) -> OrchestraError:
    """The exception for an error of the core.

    Args:
        kind: Name of the class, such as "RateLimited". A name from a newer core becomes an OrchestraError.
        message: The sentence.
        fields: Attributes; those that the class does not have are left out.
    """
    known = KINDS.get(kind)
    if known is None:
        known, message = OrchestraError, f"{kind}: {message}"
    allowed = {*_FIELDS, "attempts", *known._own}
    return known(message, **{name: value for name, value in fields.items() if name in allowed})
