"""What an engine is built from: providers, models, timeouts, retries. Values: immutable, equal by content, without keys
in their repr.

Every one gives `config()`, a plain dict without keys, and providers and models lower to the dict that the core reads.
The core checks that dict; here stands only what is Python's own: argument types that JSON cannot hold, the environment,
and numbers of seconds and tries.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NoReturn

from orchestra.errors import ConfigError, without_inner_frames
from orchestra.plain import frozen, is_mapping, path_text, plain, price_text, sequence, shown
from orchestra.secret import Secret, read_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from orchestra.secret import KeySource

    Price = str | int | float | Decimal  # USD per million tokens

MOST_SECONDS = 1e308  # what a float holds
# Most tries that a Retry may ask for; far beyond any use, and within the core's int.
_MOST_TRIES = 1_000_000
# Headers that carry credentials although they were given as plain text, by a part of their names.
_SECRET_HEADERS = ("auth", "key", "token", "secret", "cookie", "password", "credential")


class _Value:
    """Arguments kept as attributes, in the order of `_defaults`; nothing can be changed."""

    __slots__ = ()
    _defaults: dict[str, Any] = {}

    def _keep(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _given(self) -> dict[str, Any]:
        """The arguments that differ from their defaults."""
        values = {name: getattr(self, name) for name in self._defaults}
        # One of another type is never asked whether it is equal.
        return {
            name: value
            for name, value in values.items()
            if type(value) is not type(self._defaults[name]) or value != self._defaults[name]
        }

    def _show(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        try:
            return self._show()
        except AttributeError:  # in a traceback that shows the locals of its constructor
            return f"<{type(self).__name__}, half made>"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class Timeout(_Value):
    """Deadlines of a call, in seconds.

    Args:
        total: From the call until its reply, waits and retries included.
        connect: Until a connection stands, DNS and TLS included.
        first_token: From then until the first content; of a plain call, until the first byte of the body.
        idle: The longest gap between bytes.

    Raises:
        ConfigError: One of them is no number above 0.
    """

    __slots__ = ("connect", "first_token", "idle", "total")
    _defaults = {"total": 600, "connect": 10, "first_token": 120, "idle": 60}

    total: float
    connect: float
    first_token: float
    idle: float

    def __init__(self, total: float = 600, connect: float = 10, first_token: float = 120, idle: float = 60) -> None:
        values = {"total": total, "connect": connect, "first_token": first_token, "idle": idle}
        for name, value in values.items():
            # The comparison is false for NaN.
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MOST_SECONDS:
                raise ConfigError(f"{name}: must be a number of seconds above 0, not {shown(value)}")
        self._keep(**values)

    def config(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in self._defaults}

    def __eq__(self, other: object) -> bool:
        return self.config() == other.config() if isinstance(other, Timeout) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.config().values()))

    def _show(self) -> str:
        return _written("Timeout", self.config())

    def __reduce__(self) -> tuple[Any, ...]:
        return Timeout, tuple(self.config().values())


class Retry(_Value):
    """How often a call is tried.

    Args:
        attempts: Most tries on one target, the first included.
        total: Most tries of the whole call, over retries and fallbacks.
        after_sent: Also try again when a connection dies after the request was sent and before any answer.

    Raises:
        ConfigError: A number below 1, or another type.
    """

    __slots__ = ("after_sent", "attempts", "total")
    _defaults = {"attempts": 3, "total": 6, "after_sent": True}

    attempts: int
    total: int
    after_sent: bool

    def __init__(self, attempts: int = 3, total: int = 6, after_sent: bool = True) -> None:
        for name, value in (("attempts", attempts), ("total", total)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_TRIES:
                raise ConfigError(f"{name}: must be a whole number from 1 to {_MOST_TRIES}, not {shown(value)}")
        if not isinstance(after_sent, bool):
            raise ConfigError(f"after_sent: must be True or False, not {shown(after_sent)}")
        self._keep(attempts=attempts, total=total, after_sent=after_sent)

    def config(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self._defaults}

    def __eq__(self, other: object) -> bool:
        return self.config() == other.config() if isinstance(other, Retry) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.config().values()))

    def _show(self) -> str:
        return _written("Retry", self.config())

    def __reduce__(self) -> tuple[Any, ...]:
        return Retry, tuple(self.config().values())


class Provider(_Value):
    """A service that answers requests, under the name that its models begin with.

    Args:
        name: A built-in name (`openai`, `anthropic`, ...), or one of your own with `protocol` and `base_url`.
        protocol: The format that it speaks, such as `openai-chat`.
        base_url: Its address with the version; else the variable `<NAME>_BASE_URL`, else the built-in one.
        api_key: A str, a `Secret`, or a callable that is asked at every attempt; else the variable `<NAME>_API_KEY`,
            read when the engine is built.
        headers: Added to every request. A value may be a `Secret`.
        privacy: `local`, `private`, `no_training` or `public`.
        region: Where it computes, such as `eu`.
        proxy: `http://host:port`; None: as the environment says; "": none.
        ca_file: A file of certificates to trust instead of the system's.
        insecure: Verify no certificate.
        transport: `auto`, `own` or `curl`.
        options: What this provider alone needs, such as Azure's `api_version`.

    Raises:
        ConfigError: A wrong value, or an unknown name without `protocol` and `base_url`. A missing key is told by the
            call.
    """

    __slots__ = (
        "api_key", "base_url", "ca_file", "headers", "insecure", "name", "options", "privacy", "protocol", "proxy",
        "region", "transport",
    )  # fmt: skip
    _defaults = {
        "name": None, "protocol": None, "base_url": None, "headers": frozen({}), "privacy": "public", "region": None,
        "proxy": None, "ca_file": None, "insecure": False, "transport": "auto", "options": frozen({}),
    }  # fmt: skip

    name: str
    protocol: str | None
    base_url: str | None
    api_key: Secret | KeySource | None
    headers: Mapping[str, str | Secret]
    privacy: str
    region: str | None
    proxy: str | None
    ca_file: str | None
    insecure: bool
    transport: str
    options: Mapping[str, str]

    @without_inner_frames
    def __init__(
        self,
        name: str,
        *,
        protocol: str | None = None,
        base_url: str | None = None,
        api_key: KeySource | None = None,
        headers: Mapping[str, str | Secret] = {},  # noqa: B006  # never changed
        privacy: str = "public",
        region: str | None = None,
        limits: None = None,
        proxy: str | None = None,
        ca_file: str | None = None,
        insecure: bool = False,
        transport: str = "auto",
        **options: Any,
    ) -> None:
        if isinstance(api_key, str) and api_key:
            api_key = Secret(api_key)
        if not (api_key is None or isinstance(api_key, Secret) or callable(api_key)):
            fault = (
                "is empty" if api_key == "" else f"must be a str, a Secret or a callable, not {type(api_key).__name__}"
            )
            del api_key  # a traceback that shows locals must not show it
            raise ConfigError(f"api_key: {fault}")
        if isinstance(api_key, Secret):
            read_key(api_key)  # one that no header may hold is told here and not by the call
        if limits is not None:
            raise ConfigError("limits: come with a later version")
        if base_url is None and isinstance(name, str):
            base_url = _environment(f"{_variable_stem(name)}_BASE_URL")
        self._keep(
            name=name,
            protocol=protocol,
            base_url=base_url,
            api_key=api_key,
            headers=frozen(headers),
            privacy=privacy,
            region=region,
            proxy=proxy,
            ca_file=path_text(ca_file),
            insecure=insecure,
            transport=transport,
            options=frozen(options),
        )
        _check("provider", self._plain([]))

    @property
    def key_variable(self) -> str:
        """The environment variable of its key, such as `OPENAI_API_KEY`."""
        return builtin_key_variables().get(self.name) or f"{_variable_stem(self.name)}_API_KEY"

    def config(self) -> dict[str, Any]:
        """Its arguments as a plain dict; instead of a key stands True, instead of a credential in a header `***`."""
        config = {name: plain(value, name) for name, value in self._public().items()}
        if self.api_key is not None:
            config["api_key"] = True
        return config

    def _public(self) -> dict[str, Any]:
        given = self._given()
        if self.headers:
            given["headers"] = {name: _public_header(name, value) for name, value in self.headers.items()}
        if self.proxy:
            given["proxy"] = _public_address(self.proxy)
        return given

    def _plain(self, secrets: list[KeySource]) -> dict[str, Any]:
        lowered: dict[str, Any] = {}
        for name, value in self._given().items():
            if name == "headers" and hasattr(value, "items"):
                # `callable` is for keys only: a header's value is a str or a Secret.
                value = {
                    key: _reference(item, secrets) if isinstance(item, Secret) else item for key, item in value.items()
                }
            lowered[name] = plain(value, name)
        return lowered

    def _lower(self, secrets: list[KeySource]) -> dict[str, Any]:
        """The dict that the core reads. Each secret is appended to `secrets` and stands in the dict by its number."""
        lowered = self._plain(secrets)
        key = self.api_key
        if key is None and _environment(self.key_variable) is not None:
            key = Secret.env(self.key_variable)
        if key is not None:
            lowered["api_key"] = _reference(key, secrets)
        return lowered

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Provider):
            return NotImplemented
        return self._given() == other._given() and self.api_key == other.api_key

    __hash__ = None  # type: ignore[assignment]  # a Secret has no hash

    def _show(self) -> str:
        given = self._public()
        given.pop("name", None)
        given.update(given.pop("options", {}))
        if self.api_key is not None:
            given["api_key"] = Secret("hidden")
        return _written("Provider", given, self.name)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Provider cannot be pickled: it may hold a key")


class Model(_Value):
    """What is known of a model; what is not given is unknown, which is not false and not zero.

    Args:
        name: `provider/model`.
        aliases: Other names of it.
        capabilities: A set of names (yes) or a dict of name and bool, out of `tools parallel_tools json_schema
            json_mode vision reasoning streaming system_prompt prefill seed logprobs prompt_cache batch`.
        modalities: Kinds of input, out of `text image audio file`.
        context_window: Tokens of input and output together.
        max_output: Tokens.
        input_price: USD per million tokens, as decimal str, int, Decimal or float (read as its shortest decimal); so
            are the other prices. A missing cache price is the input price, a missing reasoning or audio price that of
            its direction.
        quality: 0..1, a prior.
        latency: Seconds to the first token, a prior.
        tokenizer: `o200k_base` or `cl100k_base`.
        privacy: None: the provider's.
        region: None: the provider's.

    Raises:
        ConfigError: A wrong value.
    """

    __slots__ = (
        "aliases", "audio_input_price", "audio_output_price", "cache_write_1h_price", "cache_write_price",
        "cached_input_price", "capabilities", "context_window", "input_price", "latency", "max_output", "modalities",
        "name", "output_price", "privacy", "quality", "reasoning_price", "region", "tokenizer",
    )  # fmt: skip
    _defaults = {
        "name": None, "aliases": (), "capabilities": None, "modalities": None, "context_window": None,
        "max_output": None, "input_price": None, "output_price": None, "cached_input_price": None,
        "cache_write_price": None,
        "cache_write_1h_price": None, "reasoning_price": None, "audio_input_price": None, "audio_output_price": None,
        "quality": None, "latency": None, "tokenizer": None, "privacy": None, "region": None,
    }  # fmt: skip

    name: str
    aliases: tuple[str, ...]
    capabilities: frozenset[str] | Mapping[str, bool] | None
    modalities: frozenset[str] | None
    context_window: int | None
    max_output: int | None
    input_price: Price | None
    output_price: Price | None
    cached_input_price: Price | None
    cache_write_price: Price | None
    cache_write_1h_price: Price | None
    reasoning_price: Price | None
    audio_input_price: Price | None
    audio_output_price: Price | None
    quality: float | None
    latency: float | None
    tokenizer: str | None
    privacy: str | None
    region: str | None

    def __init__(
        self,
        name: str,
        *,
        aliases: Iterable[str] = (),
        capabilities: Iterable[str] | Mapping[str, bool] | None = None,
        modalities: Iterable[str] | None = None,
        context_window: int | None = None,
        max_output: int | None = None,
        input_price: Price | None = None,
        output_price: Price | None = None,
        cached_input_price: Price | None = None,
        cache_write_price: Price | None = None,
        cache_write_1h_price: Price | None = None,
        reasoning_price: Price | None = None,
        audio_input_price: Price | None = None,
        audio_output_price: Price | None = None,
        quality: float | None = None,
        latency: float | None = None,
        tokenizer: str | None = None,
        privacy: str | None = None,
        region: str | None = None,
    ) -> None:
        self._keep(
            name=name,
            aliases=sequence(aliases, "aliases", tuple),
            capabilities=frozen(capabilities)
            if is_mapping(capabilities)
            else sequence(capabilities, "capabilities", frozenset),
            modalities=sequence(modalities, "modalities", frozenset),
            context_window=context_window,
            max_output=max_output,
            input_price=input_price,
            output_price=output_price,
            cached_input_price=cached_input_price,
            cache_write_price=cache_write_price,
            cache_write_1h_price=cache_write_1h_price,
            reasoning_price=reasoning_price,
            audio_input_price=audio_input_price,
            audio_output_price=audio_output_price,
            quality=quality,
            latency=latency,
            tokenizer=tokenizer,
            privacy=privacy,
            region=region,
        )
        _check("model", self._lower([]))

    def config(self) -> dict[str, Any]:
        """Its arguments as a plain dict, prices as decimal text."""
        return self._lower([])

    def _lower(self, secrets: list[KeySource]) -> dict[str, Any]:
        """The dict that the core reads; a model has no secrets."""
        lowered: dict[str, Any] = {}
        for name, value in self._given().items():
            if name.endswith("_price"):
                lowered[name] = price_text(value, name)
            elif name == "capabilities" and is_mapping(value) and all(flag is True for flag in value.values()):
                lowered[name] = sorted(plain(value, name))
            else:
                lowered[name] = plain(value, name)
        return lowered

    def __eq__(self, other: object) -> bool:
        return self.config() == other.config() if isinstance(other, Model) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def _show(self) -> str:
        given = self._given()
        given.pop("name")
        return _written("Model", given, self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_model, (self.config(),)


def _rebuild_model(config: dict[str, Any]) -> Model:
    return Model(**config)


def default_providers() -> list[Provider]:
    """The built-in providers whose key is in the environment and whose address is known, by name."""
    found = []
    for name, variable in sorted(builtin_key_variables().items()):
        if variable and _environment(variable) is not None:
            try:
                found.append(Provider(name))
            except ConfigError:
                if _environment(f"{_variable_stem(name)}_BASE_URL") is not None:
                    raise
                # One without an address of its own (azure), which the environment does not give either.
    return found


def _check(kind: str, values: dict[str, Any]) -> None:
    """Lets the core check one object; raises ConfigError whose message begins with the argument."""
    from orchestra._compiled import core

    core.check(kind, values)


@functools.cache
def builtin_key_variables() -> dict[str, str]:
    """The variable of the key of every built-in provider; empty for those without one."""
    from orchestra._compiled import core

    return {name: variable for name, _, _, variable in core.builtin_providers()}


def _variable_stem(name: str) -> str:
    return "".join(c.upper() if c.isascii() and c.isalnum() else "_" for c in name)


def _environment(variable: str) -> str | None:
    """The variable's value; None when it is not set or empty."""
    import os

    return os.environ.get(variable) or None


def _reference(source: KeySource, secrets: list[KeySource]) -> dict[str, int]:
    secrets.append(source)
    return {"secret": len(secrets) - 1}


def _public_header(name: str, value: Any) -> Any:
    hidden = isinstance(value, Secret) or any(word in str(name).lower() for word in _SECRET_HEADERS)
    return "***" if hidden else value


def _public_address(address: Any) -> Any:
    """The address without the user name and password that may stand in it."""
    text = str(address)
    scheme, mark, rest = text.rpartition("://")
    return f"{scheme}{mark}***@{rest.rpartition('@')[2]}" if "@" in rest else text


def _written(kind: str, values: Mapping[str, Any], *first: Any) -> str:
    parts = [repr(value) for value in first]
    parts += [f"{name}={_bare(value)!r}" for name, value in values.items()]
    return f"{kind}({', '.join(parts)})"


def _bare(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return dict(value) if is_mapping(value) else value
