"""Engine: every model behind one object, for threads, event loops, notebooks and scripts at once."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from . import forks
from ._compiled import core
from .call import accept, check_keywords, finish
from .certificates import fallback_ca_file
from .config import Model, Provider, default_providers
from .errors import ConfigError, InvalidRequest, without_inner_frames
from .plain import is_mapping, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Unpack

    from .batch import Batch
    from .bridge import Bridge
    from .call import CallOptions
    from .reply import Reply
    from .secret import KeySource
    from .stream import AsyncStream, Stream

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_hooks_installed = False


def _after_fork() -> None:
    for engine in list(_engines):
        engine._core.abandon()


def _at_exit() -> None:
    """Ends all engines before the interpreter goes: no thread of ours may meet one that is being taken down."""
    import time

    core.stop_waiting()
    for engine in list(_engines):
        engine._leave()
    end = time.monotonic() + 1.0
    while core.waiting_threads() and time.monotonic() < end:  # they are on their way back into Python
        time.sleep(0.001)


def _install_hooks() -> None:
    global _hooks_installed
    if not _hooks_installed:
        _hooks_installed = True
        import atexit

        forks.on_fork(_after_fork)
        atexit.register(_at_exit)


class Engine:
    """Models of many providers behind one object.

    Building it makes no network call and starts no thread; the first call does. It serves threads, several event
    loops, Jupyter and scripts at once. After a fork the child starts afresh at its first call.

    Args:
        providers: The providers to use; None: every known one whose key is in the environment.
        models: Models on top of the shipped catalog (prices, windows, capabilities); one of the same name replaces it.
        seed: Fixes the random part of waits; None: drawn.
        input_limits: What is read of providers and sent at most, by name: `head_bytes head_lines body
            decompression_ratio line event text json_depth tool_calls request`; sizes in bytes. What is left out keeps
            its default.

    Raises:
        ConfigError: Something is wrong; the message begins with its path, such as `providers[0].privacy`.
    """

    @without_inner_frames
    def __init__(
        self,
        providers: Iterable[Provider] | None = None,
        models: Iterable[Model] | None = None,
        *,
        routes: Iterable[Any] | None = None,
        traces: Any = None,
        seed: int | None = None,
        input_limits: Mapping[str, int] | None = None,
    ) -> None:
        self._closed = False
        self._lock = threading.Lock()
        self._bridges: weakref.WeakKeyDictionary[Any, Bridge] = weakref.WeakKeyDictionary()
        self._last_bridge: Bridge | None = None
        # Calls of the last bridge that were begun with nothing left to do before: no fork, a thread that asks for keys.
        self._usual_calls: core.Calls | None = None
        self._secrets: list[Any] = []
        self._asks_for_keys = False  # a secret comes from a function
        self._secret_thread: threading.Thread | None = None
        self._forks = forks.count
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise ConfigError(f"seed: must be a whole number, 0 or more, not {shown(seed)}")
        self._seed = seed
        if input_limits is not None and not is_mapping(input_limits):
            raise ConfigError(f"input_limits: must be a mapping of names and whole numbers, not {shown(input_limits)}")
        self._input_limits = dict(input_limits or {})
        _refuse_later("routes", routes)
        if traces is not None:
            raise ConfigError("traces: are not built yet; leave it out")
        self._defaults = providers is None
        self._providers = default_providers() if providers is None else _list_of(providers, Provider, "providers")
        self._models = _list_of(models or (), Model, "models")
        config = self._lower(self._providers, self._models)
        self._start_core(config)
        _install_hooks()
        _engines.add(self)

    @classmethod
    @without_inner_frames
    def load(cls, path: str | os.PathLike[str]) -> Engine:
        """An engine from a TOML file.

        Raises:
            ConfigError: With `path:line:` of what is wrong.
        """
        from .toml_file import load

        file = load(path)
        try:
            return cls(providers=file.providers or None, models=file.models, **file.engine)
        except ConfigError as error:
            raise file.locate(error) from None

    # ---- configuration

    def _lower(self, providers: list[Provider], models: list[Model]) -> dict[str, Any]:
        return {
            "providers": [provider._lower(self._secrets) for provider in providers],
            "models": [model._lower(self._secrets) for model in models],
            "catalog": _shipped_models(),
            "seed": self._seed,
            "input_limits": self._input_limits,
            **({"fallback_ca_file": certificates} if (certificates := fallback_ca_file()) else {}),
        }

    def _static_secrets(self) -> list[str | None]:
        """The values of the secrets, None for those that a function gives."""
        from .secret import is_dynamic, read_key

        values = [None if is_dynamic(source) else read_key(source) for source in self._secrets]
        self._asks_for_keys = None in values
        return values

    def config(self) -> dict[str, Any]:
        """The configuration as plain values; no key appears in it."""
        return {
            "providers": [provider.config() for provider in self._providers],
            "models": [model.config() for model in self._models],
            **({"input_limits": self._input_limits} if self._input_limits else {}),
        }

    @without_inner_frames
    def update(
        self,
        providers: Iterable[Provider] | None = None,
        models: Iterable[Model] | None = None,
        routes: Iterable[Any] | None = None,
    ) -> int:
        """Replaces each list that is given whole, all or nothing; running calls keep what they started with.

        Returns:
            The version of the new configuration.
        """
        _refuse_later("routes", routes)
        live = self._live()
        with self._lock:
            new_providers = self._providers if providers is None else _list_of(providers, Provider, "providers")
            new_models = self._models if models is None else _list_of(models, Model, "models")
            defaults = self._defaults and providers is None
            known = len(self._secrets)
            try:
                config = self._lower(new_providers, new_models)
                version: int = live.update(config, self._static_secrets(), defaults)
            except BaseException:
                del self._secrets[known:]
                raise
            self._providers, self._models, self._defaults = new_providers, new_models, defaults
            self._usual_calls = None  # a function may give keys now
            return version

    # ---- the core, also after a fork

    def _live(self) -> core.Core:
        if self._forks != forks.count:
            self._restart()
        if self._asks_for_keys and self._secret_thread is None and not self._closed:
            self._start_secret_thread()
        return self._core

    def _restart(self) -> None:
        """In a forked child: the parent's core has no thread here; it was given up, not ended."""
        self._forks = forks.count
        self._lock = threading.Lock()
        self._bridges = weakref.WeakKeyDictionary()
        self._last_bridge = None
        self._usual_calls = None
        self._secret_thread = None
        self._secrets.clear()
        self._start_core(self._lower(self._providers, self._models))
        if self._closed:
            self._core.close(0)

    def _start_core(self, config: dict[str, Any]) -> None:
        self._core = core.Core(config, self._static_secrets(), self._defaults)
        # The thread that asks for keys holds the core: an engine that nobody holds any more is closed, not just freed.
        weakref.finalize(self, _close_core, self._core, forks.count).atexit = False

    def _start_secret_thread(self) -> None:
        """Functions that give keys are called here, so that neither a loop nor the engine waits for them."""
        self._secret_thread = threading.Thread(
            target=_answer_secrets, args=(self._core, self._secrets), name="orchestra-keys", daemon=True
        )
        self._secret_thread.start()

    def _bridge(self) -> Bridge:
        """The bridge to the running event loop."""
        if self._closed:
            raise RuntimeError("the engine is closed")
        last = self._last_bridge
        if last is not None and last.is_of_running_loop():
            return last
        from .bridge import Bridge, running_loop  # with asyncio, which is there already when a loop runs

        loop = running_loop()
        bridge = self._bridges.get(loop)
        if bridge is None:
            for other in [other for other in self._bridges if other.is_closed()]:
                del self._bridges[other]
            bridge = self._bridges[loop] = Bridge(loop)
        self._last_bridge = bridge
        return bridge

    # ---- calls

    def chat(self, messages: Any, **options: Unpack[CallOptions]) -> Reply:
        """Asks one model and waits for its answer.

        Args:
            messages: A str (one user message), a dict (one message), or a list of dicts in OpenAI's chat shape.
            options: See CallOptions; `model` is `provider/model` or a list of them to fall back on, in order.

        Raises:
            InvalidRequest: Before anything is sent; the message begins with the path of what is wrong.
            OrchestraError: As the tree in orchestra.errors says.
        """
        call, parser = accept("chat", messages, options)
        return finish(self._live().chat(call), parser)

    async def achat(self, messages: Any, **options: Unpack[CallOptions]) -> Reply:
        """chat() for asyncio: cancelling the task closes the upstream connection."""
        call, parser = accept("achat", messages, options)
        calls = self._usual_calls
        future = None if calls is None else calls.begin_here(self._core, call)
        if calls is None or future is None:
            live = self._live()
            self._usual_calls = calls = self._bridge().calls
            future = calls.begin(live, call)
        try:
            reply = await future
        except BaseException:
            calls.cancel(future, "the task was cancelled")
            raise
        return reply if parser is None and reply._is_plain else finish(reply, parser)

    def stream(self, messages: Any, **options: Unpack[CallOptions]) -> Stream:
        """Starts a call whose answer comes piece by piece: an iterator of Delta and a context manager.

        Raises:
            InvalidRequest: Before anything is sent. Errors of the provider are raised by the first `next`.
        """
        from .stream import Stream

        call, parser = accept("stream", messages, options)
        calls = core.Calls()
        stream = Stream(self, calls, calls.open(self._live(), call), parser)
        stream._handle.start()
        return stream

    def astream(self, messages: Any, **options: Unpack[CallOptions]) -> AsyncStream:
        """stream() for asyncio; call it in a running event loop. There is nothing to await."""
        from .stream import AsyncStream

        call, parser = accept("astream", messages, options)
        live = self._live()
        calls = self._bridge().calls
        stream = AsyncStream(self, calls, calls.open(live, call), parser)
        stream._handle.start()
        return stream

    def map(
        self,
        inputs: Iterable[Any],
        *,
        concurrency: int = 64,
        progress: bool | None = None,
        resume: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Batch:
        """Asks for every input, many at once, and never raises for a row.

        Args:
            inputs: Whatever chat takes, or row dicts `{"messages": ..., any keyword}`; any iterable, read lazily.
            concurrency: Most rows in flight.
            progress: A progress line on stderr; None: on a terminal or in Jupyter.
            resume: A file of finished rows: what it holds is not asked again, what finishes is added.

        Returns:
            The replies and errors in input order. The first Ctrl-C stops and returns; a second one raises.

        Raises:
            ConfigError: `resume` is a file of another format. An exception of `inputs` ends the map and is raised.
        """
        from .map import prepare, run

        check_keywords("map", options)
        return run(prepare(self, inputs, concurrency, progress, resume, options))  # type: ignore[arg-type]

    async def amap(
        self,
        inputs: Iterable[Any],
        *,
        concurrency: int = 64,
        progress: bool | None = None,
        resume: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Batch:
        """map() for asyncio; cancelling the task cancels the open rows."""
        from .map import arun, prepare

        check_keywords("amap", options)
        return await arun(prepare(self, inputs, concurrency, progress, resume, options))  # type: ignore[arg-type]

    # ---- figures and end

    def stats(self) -> dict[str, Any]:
        """in_flight queued connections calls errors cost models; models by name with calls errors p50 p99 (seconds)."""
        figures: dict[str, Any] = self._live().stats()
        return figures

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self, timeout: float = 5) -> None:
        """Refuses new calls, waits up to `timeout` seconds for the running ones and cancels the rest; idempotent.

        Raises:
            InvalidRequest: `timeout` is no number of seconds, 0 or more.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
            raise InvalidRequest(f"timeout: must be a number of seconds, 0 or more, not {shown(timeout)}")
        self._closed = True
        if self._forks != forks.count:
            self._restart()
        self._core.close(timeout)
        for bridge in list(self._bridges.values()):
            bridge.detach()
        self._bridges.clear()
        self._last_bridge = None
        self._usual_calls = None

    async def aclose(self, timeout: float = 5) -> None:
        """close() without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.close, timeout)

    def _leave(self) -> None:
        if self._forks == forks.count:
            self._core.close(0)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> Any:
        raise TypeError("an Engine cannot be pickled or copied: it owns a thread and connections")

    def __repr__(self) -> str:
        names = ", ".join(provider.name for provider in self._providers)
        return f"<Engine providers=[{names}] models={len(self._models)}{' closed' if self._closed else ''}>"


def _list_of(values: Any, kind: type, path: str) -> list[Any]:
    if isinstance(values, str | bytes | dict):
        raise ConfigError(f"{path}: must be a list of {kind.__name__} objects, not {type(values).__name__}")
    try:
        items = list(values)
    except TypeError:
        raise ConfigError(f"{path}: must be a list of {kind.__name__} objects, not {type(values).__name__}") from None
    for index, item in enumerate(items):
        if not isinstance(item, kind):
            raise ConfigError(f"{path}[{index}]: must be a {kind.__name__}, not {type(item).__name__}")
    return items


def _refuse_later(name: str, values: Sequence[Any] | Iterable[Any] | None) -> None:
    if values is not None and list(values):
        raise ConfigError(f"{name}: are not built yet; name models by model=")


def _answer_secrets(live: core.Core, secrets: list[KeySource]) -> None:
    from .secret import read_key

    while (question := live.wait_for_question()) is not None:
        number, index = question
        try:
            live.answer_secret(number, read_key(secrets[index]))
        except ConfigError as error:
            live.answer_secret(number, None, str(error))
        except BaseException as error:  # this thread must live on: whoever waits would wait for its whole deadline
            live.answer_secret(number, None, f"api_key: the callable raised {type(error).__name__}")


def _close_core(live: core.Core, born: int) -> None:
    if born == forks.count:
        live.close(0)


@functools.cache
def _shipped_models() -> Any:
    """The models of the shipped catalog."""
    # By the core and os, since json and pathlib take longer to import than this takes.
    with open(os.path.join(os.path.dirname(__file__), "data", "models.json"), encoding="utf-8") as file:
        return core.parse_json(file.read())["models"]
