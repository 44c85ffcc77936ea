"""FakeProviders and Fault: what they take is checked, and what they do is done, by the core."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from orchestra._compiled import core
from orchestra.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    import orchestra


@dataclass(frozen=True, slots=True, repr=False)
class Fault:
    """A wrong done on purpose. Made by the class methods; a value that can be compared and used again.

    `every=3` hits calls 3, 6, 9 ..., counted over all calls of the FakeProviders; `times=2` hits two calls at most.
    Inside a script a Fault hits the one call that it stands for, whatever these say.

    Raises:
        ConfigError: An argument is wrong.
    """

    kind: str
    code: int | None = None
    retry_after: float | None = None
    after_bytes: int | None = None
    after_events: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    every: int | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        core.check_fault(self.to_dict(), f"Fault.{self.kind}")

    @classmethod
    def status(
        cls, code: int, retry_after: float | None = None, every: int | None = None, times: int | None = None
    ) -> Fault:
        """An error in the protocol's own shape, with `Retry-After: retry_after` (seconds) if that is given."""
        return cls("status", code=code, retry_after=retry_after, every=every, times=times)

    @classmethod
    def reset(cls, after_bytes: int = 0, *, every: int | None = None, times: int | None = None) -> Fault:
        """The connection is reset after so many bytes of the body; 0: before any byte of an answer."""
        return cls("reset", after_bytes=after_bytes, every=every, times=times)

    @classmethod
    def stall(
        cls, after_events: int = 0, *, seconds: float, every: int | None = None, times: int | None = None
    ) -> Fault:
        """A stream waits after so many events that carry content, a plain answer between its head and its body."""
        return cls("stall", after_events=after_events, seconds=seconds, every=every, times=times)

    @classmethod
    def cut(cls, after_events: int, *, every: int | None = None, times: int | None = None) -> Fault:
        """A stream ends after so many events that carry content, a plain answer in the middle of its body."""
        return cls("cut", after_events=after_events, every=every, times=times)

    @classmethod
    def garbage(cls, *, every: int | None = None, times: int | None = None) -> Fault:
        """A 200 whose body cannot be decoded."""
        return cls("garbage", every=every, times=times)

    @classmethod
    def drip(cls, bytes: int = 1, *, every: int | None = None, times: int | None = None) -> Fault:
        """The right answer, so many bytes at a time."""
        return cls("drip", bytes=bytes, every=every, times=times)

    @classmethod
    def duplicate_event(cls, *, every: int | None = None, times: int | None = None) -> Fault:
        """One event of a stream that carries no content comes twice; a plain answer is right."""
        return cls("duplicate_event", every=every, times=times)

    def to_dict(self) -> dict[str, Any]:
        """The kind and the arguments that were given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items() if name != "kind")
        return f"Fault.{self.kind}({arguments})"


class FakeProviders:
    """Providers on a free loopback port, one base URL for each protocol. A context manager.

    After its script has ended it makes texts up: the same for the same seed and the same conversation.

    Args:
        protocols: Names such as "openai-chat" and "anthropic-messages".
        latency: Seconds before each answer; or (p50, p99), then log-normal.
        faults: What goes wrong. Of several that hit a call the first counts. One that spoils the answer leaves the
            script as it is, so that the next call gets it.
        rate_limits: Requests per minute of each protocol; more get a 429 with Retry-After. None: no limit.
        seed: Decides the texts and the latencies.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        protocols: Iterable[str],
        *,
        latency: float | tuple[float, float] = 0.0,
        faults: Iterable[Fault] = (),
        rate_limits: float | None = None,
        seed: int = 0,
    ) -> None:
        self._protocols = [protocols] if isinstance(protocols, str) else list(protocols)
        self._core = core.FakeProviders(
            {
                "protocols": self._protocols,
                "latency": latency,
                "faults": [_fault(fault, f"faults[{number}]") for number, fault in enumerate(faults)],
                "rate_limits": rate_limits,
                "seed": seed,
            }
        )

    def url(self, protocol: str) -> str:
        """The base URL of a protocol, for any client that speaks it.

        Raises:
            ConfigError: It is none of these protocols.
        """
        url: str = self._core.url(protocol)
        return url

    def engine(self, **arguments: Any) -> orchestra.Engine:
        """An Engine with one provider for each protocol, named by it: `chat(..., model="openai-chat/fake-1")`.

        Args:
            arguments: Passed on to Engine.
        """
        import orchestra

        providers = [
            orchestra.Provider(name, protocol=name, base_url=self.url(name), api_key="sk-fake-key")
            for name in self._protocols
        ]
        return orchestra.Engine(**({"providers": providers} | arguments))

    def script(self, answers: Sequence[str | Fault | Mapping[str, Any]]) -> None:
        """Adds answers, given in this order whatever the protocol.

        Args:
            answers: Each a text, a Fault, or a dict with any of `text tool_calls finish_reason usage reasoning refusal`
                as on a Reply; tool_calls are `{"id", "name", "arguments"}`, arguments a dict or a str; `usage: None`
                reports none, without the key it is counted.

        Raises:
            ConfigError: An answer is none of these; nothing was added.
        """
        if isinstance(answers, (str, dict)):
            raise ConfigError("script: a list is needed")
        self._core.script([{"fault": answer.to_dict()} if isinstance(answer, Fault) else answer for answer in answers])

    @property
    def requests(self) -> list[Any]:
        """The calls in order of arrival, each with `protocol body headers method path received_at closed_at`.

        `body` is decoded JSON, times are those of time.monotonic(); `closed_at` is None until the client has closed the
        connection. Of more than 256 MB the oldest are forgotten.
        """
        requests: list[Any] = self._core.requests
        return requests

    def close(self) -> None:
        """Ends all connections and gives the port back."""
        self._core.close()

    def __enter__(self) -> FakeProviders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _fault(fault: Any, path: str) -> dict[str, Any]:
    if not isinstance(fault, Fault):
        raise ConfigError(f"{path}: a Fault is needed, not {type(fault).__name__}")
    return fault.to_dict()
