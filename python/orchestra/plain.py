"""Arguments of constructors as the plain values that JSON has; what JSON does not have is refused by its path."""

from __future__ import annotations

from typing import Any

from orchestra.errors import ConfigError

_DEEPEST = 100  # containers inside each other; the core takes a few more


def shown(value: object, most: int = 50) -> str:
    """A value in a sentence: cut short, and by its type alone when it has no repr (too deep, too long, broken)."""
    try:
        return f"{value!r:.{most}}"
    except Exception:
        return f"this {type(value).__name__}"


def is_mapping(value: object) -> bool:
    return hasattr(value, "keys") and hasattr(value, "__getitem__")


def frozen(value: Any) -> Any:
    """A read-only copy of a mapping; anything else as it is, for the core to refuse."""
    from types import MappingProxyType

    return MappingProxyType({key: value[key] for key in value.keys()}) if is_mapping(value) else value  # noqa: SIM118


def sequence(value: Any, name: str, kind: Any) -> Any:
    """A tuple or frozenset of an iterable of str; anything else as it is, for the core to refuse."""
    if value is None or isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return value
    items = tuple(value)
    for item in items:
        if not isinstance(item, str):
            raise ConfigError(f"{name}: must hold strings, not {type(item).__name__}")
    return kind(items)


def path_text(value: Any) -> Any:
    return value.__fspath__() if hasattr(value, "__fspath__") else value


def plain(value: Any, path: str, depth: int = 0) -> Any:
    """The value as JSON has it; ConfigError with its path for what JSON does not have."""
    if depth > _DEEPEST:
        raise ConfigError(f"{path:.50}: is nested too deeply, or holds itself")
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ConfigError(f"{path}: must be a finite number")
        return value
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item, path, depth + 1) for item in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if is_mapping(value):
        members = {}
        for key in value.keys():  # noqa: SIM118
            if not isinstance(key, str):
                raise ConfigError(f"{path}: names must be strings, not {type(key).__name__}")
            members[key] = plain(value[key], f"{path}.{key}", depth + 1)
        return members
    if type(value).__name__ == "Decimal" and value.is_finite():
        return float(value)
    raise ConfigError(f"{path}: cannot be a {type(value).__name__}")


def price_text(value: Any, name: str) -> Any:
    """A price as its shortest decimal, so that 10, 10.0 and "10" are the same; what is none, for the core to refuse."""
    from decimal import Decimal, InvalidOperation

    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise ConfigError(f"{name}: must be a decimal number, in USD per million tokens, not {type(value).__name__}")
    try:
        text = float.__repr__(value) if isinstance(value, float) else str(value)
    except ValueError:
        raise ConfigError(f"{name}: is a number of too many digits") from None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    # Beyond these bounds the core refuses it anyway, and writing it out could take any amount of memory.
    if not number.is_finite() or not -100 < number.adjusted() < 100:
        return text
    return format(number.normalize(), "f")
