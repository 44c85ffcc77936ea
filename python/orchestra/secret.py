"""Secret: a key that shows nowhere, and how the value of any key is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from orchestra.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import TypeAlias

    # What may be given where a key is wanted. A callable is asked again for every attempt.
    KeySource: TypeAlias = "str | Secret | Callable[[], str]"

_HIDDEN = "Secret(***)"


class Secret:
    """A key: equal by value, and shown as `Secret(***)` by str, repr, format and tracebacks.

    Args:
        value: The key itself. A `Secret` never gives it back; only the engine reads it.

    Raises:
        ConfigError: The value is no str, or empty.
    """

    __slots__ = ("_value",)

    _value: str

    def __init__(self, value: str) -> None:
        fault = None if isinstance(value, str) and value else f"must be a str that is not empty, not {_kind(value)}"
        if fault is None:
            object.__setattr__(self, "_value", value)
        del value  # a traceback that shows locals must not show it
        if fault is not None:
            raise ConfigError(f"Secret: {fault}")

    @staticmethod
    def env(name: str) -> Secret:
        """The value of an environment variable, read now.

        Raises:
            ConfigError: The variable is not set, or empty.
        """
        import os

        if not os.environ.get(name):
            raise ConfigError(f"Secret.env: the variable {name} is not set")
        return Secret(os.environ[name])

    @staticmethod
    def file(path: str | os.PathLike[str]) -> Secret:
        """The text of a file without the line break at its end, read now.

        Raises:
            ConfigError: The file cannot be read, or is empty.
        """
        import os

        path = os.fspath(path)  # a number would be read, and closed, as a descriptor
        try:
            with open(path, encoding="utf-8") as file:
                return Secret(file.read().rstrip("\r\n"))
        except UnicodeDecodeError:
            raise ConfigError(f"Secret.file: {path} is no UTF-8 text") from None
        except OSError as error:
            raise ConfigError(f"Secret.file: {path}: {error.strerror}") from None
        except ConfigError:
            raise ConfigError(f"Secret.file: {path} is empty") from None
        except ValueError as error:  # a NUL in the path
            raise ConfigError(f"Secret.file: {path!r}: {error}") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac

        # Constant time, so that a comparison tells nothing about the value.
        return hmac.compare_digest(_encoded(self), _encoded(other))

    __hash__ = None  # type: ignore[assignment]  # a hash would tell something about the value

    def __repr__(self) -> str:
        return _HIDDEN

    def __format__(self, spec: str) -> str:
        return format(_HIDDEN, spec)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


def _kind(value: object) -> str:
    return "an empty one" if value == "" else type(value).__name__


def _encoded(secret: Secret) -> bytes:
    return secret._value.encode("utf-8", "surrogatepass")


def is_dynamic(source: KeySource) -> bool:
    """Whether the value has to be asked for again at every attempt."""
    return not isinstance(source, (str, Secret))


def read_key(source: KeySource, where: str = "api_key") -> str:
    """The value of a key, fit to stand in a header.

    Args:
        source: A str, a Secret or a callable, which is called.
        where: Begins the message of an error.

    Raises:
        ConfigError: The callable raised or gave no str, or the value cannot stand in a header. The value is not shown.
    """
    if isinstance(source, Secret):
        value: object = source._value
    elif isinstance(source, str):
        value = source
    else:
        try:
            value = source()
        except Exception as error:
            raise ConfigError(f"{where}: the callable raised {type(error).__name__}") from error
        if isinstance(value, Secret):
            value = value._value
    fault = None
    if not isinstance(value, str):
        fault = f"the callable gave {type(value).__name__}, not a str"
    elif not value:
        fault = "is empty"
    elif not (value.isascii() and value.isprintable()):
        fault = "holds a line break or another character that no header may hold"
    if fault is None:
        return str(value)
    del value, source
    raise ConfigError(f"{where}: {fault}")
