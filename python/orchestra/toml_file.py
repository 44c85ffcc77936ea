"""Reading orchestra.toml: what the constructors say, in a file. Every error names the line.

    [engine]
    seed = 7

    [[provider]]
    name = "openai"
    api_key = "${TEAM_KEY}"

    [[model]]
    name = "openai/gpt-5-mini"
    input_price = 0.25

Keys are the constructors' argument names. `${VAR}` and `${VAR:-default}` (for a variable that is not set or empty)
stand for an environment variable inside of strings, `$$` for `$`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from orchestra.config import Model, Provider
from orchestra.errors import ConfigError
from orchestra.toml_lines import find_lines

if TYPE_CHECKING:
    from orchestra.toml_lines import Path

# Tables that the format has and this version does not read yet.
_LATER = {"route": "routes", "budget": "budgets"}
_TABLES = ("engine", "provider", "model", *_LATER)
_ENGINE_KEYS = ("seed", "input_limits")
_LISTS = {"providers": "provider", "models": "model"}  # as the engine calls them
_DEEPEST = 50  # tables inside each other


def load(path: str | os.PathLike[str]) -> TomlFile:
    """Reads a file.

    Raises:
        ConfigError: `path:LINE: ...`
    """
    return TomlFile(path)


class TomlFile:
    """What a file says: the arguments of an Engine.

    Attributes:
        engine: The keys of `[engine]`.
        providers: One for each `[[provider]]`, in their order.
        models: One for each `[[model]]`, in their order.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = str(os.fspath(path))  # a number would be read, and closed, as a descriptor
        text = self._read(path)
        data = self._parse(text)
        self._lines = find_lines(text)
        data = self._substitute(data, ())
        self._check_tables(data)
        self.engine: dict[str, Any] = data.get("engine", {})
        self._check_keys(self.engine, ("engine",), _ENGINE_KEYS)
        self.providers: list[Provider] = [
            self._build(Provider, table, ("provider", place)) for place, table in enumerate(data.get("provider", []))
        ]
        self.models: list[Model] = [
            self._build(Model, table, ("model", place)) for place, table in enumerate(data.get("model", []))
        ]

    def locate(self, error: ConfigError) -> ConfigError:
        """The error of an Engine that was built from this file, with the line of what its message begins with."""
        steps = _steps(str(error))
        if steps and steps[0] in _LISTS:
            return self._error((_LISTS[str(steps[0])], *steps[1:]), str(error))
        return self._error(("engine", *steps), str(error))

    def _error(self, path: Path, text: str) -> ConfigError:
        while path and path not in self._lines:
            path = path[:-1]
        return ConfigError(f"{self._path}:{self._lines.get(path, 1)}: {text}")

    def _read(self, path: str | os.PathLike[str]) -> str:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from None
        except ValueError as error:  # a NUL in the path
            raise ConfigError(f"{self._path!r}: cannot be read: {error}") from None
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
        # Outside of the except clause: the bytes of the file must not hang on the error.
        raise ConfigError(f"{self._path}:{line}: is no UTF-8 text")

    def _parse(self, text: str) -> dict[str, Any]:
        import re
        import tomllib

        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            fault = str(error)
        except RecursionError:
            fault = "is nested too deeply"
        except ValueError:
            line = re.split(r"\d{4000}", text, maxsplit=1)[0].count("\n") + 1
            fault = f"a number has too many digits (at line {line}, column 1)"
        found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", fault)
        line = int(found[1]) if found and found[1] else text.count("\n") + (not text.endswith("\n"))
        raise ConfigError(f"{self._path}:{line}: {fault[: found.start()] if found else fault}")

    def _substitute(self, value: Any, path: Path) -> Any:
        if len(path) > _DEEPEST:
            raise self._error(path, "is nested too deeply")
        if isinstance(value, str) and "$" in value:
            text, fault = expand(value)
            if fault is not None:
                del value, text  # a traceback that shows locals must not show half a key
                raise self._error(path, fault)
            return text
        if isinstance(value, dict):
            return {key: self._substitute(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._substitute(item, (*path, place)) for place, item in enumerate(value)]
        return value

    def _check_tables(self, data: dict[str, Any]) -> None:
        self._check_keys(data, (), _TABLES)
        for name, value in data.items():
            if name in _LATER:
                raise self._error((name,), f"[[{name}]]: {_LATER[name]} come with a later version")
            if name == "engine":
                if not isinstance(value, dict):
                    raise self._error((name,), "engine: must be one table, [engine]")
            elif not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
                raise self._error((name,), f"{name}: must be a list of tables, [[{name}]]")

    def _check_keys(self, table: dict[str, Any], path: Path, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                import difflib

                near = difflib.get_close_matches(key, known, n=1)
                hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
                raise self._error((*path, key), f"{key}: unknown key; {hint}")

    def _build(self, kind: Any, table: dict[str, Any], path: Path) -> Any:
        if kind is Model:  # a Provider takes any key as an option and refuses it itself
            self._check_keys(table, path, tuple(Model._defaults))
        elif "self" in table:
            raise self._error((*path, "self"), "self: unknown key")
        if "name" not in table:
            raise self._error(path, "name: is missing")
        try:
            return kind(**table)
        except ConfigError as error:
            fault = str(error)
        del table
        raise self._error((*path, *_steps(fault)), fault)


def expand(text: str) -> tuple[str, str | None]:
    """The text with its variables replaced, and what is wrong with it (None: nothing), which never quotes the text."""
    import re

    out, at = "", 0
    while True:
        dollar = text.find("$", at)
        if dollar < 0:
            return out + text[at:], None
        out += text[at:dollar]
        if text.startswith("${", dollar):
            end = text.find("}", dollar)
            inside = text[dollar + 2 : end]
            if end < 0:
                return "", "a ${ is not closed"
            if "${" in inside:
                return "", "a ${ stands inside of another"
            name, has_default, default = inside.partition(":-")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                return "", "between ${ and } stands no name of a variable, nor NAME:-default"
            value = os.environ.get(name)
            if has_default:
                value = value or default.replace("$$", "$")
            if value is None:
                return "", f"the variable {name} is not set"
            out += value
            at = end + 1
        else:  # $$ is a dollar; so is one that stands alone
            out += "$"
            at = dollar + (2 if text.startswith("$$", dollar) else 1)


def _steps(message: str) -> Path:
    """The path that a message begins with: ("headers", "X-A") of `headers.X-A: must be ...`."""
    import re

    path, colon, _ = message.partition(": ")
    if not colon or not re.fullmatch(r"[A-Za-z_][\w-]*(\[\d+\]|\.[^\s.\[\]]+)*", path):
        return ()
    return tuple(int(step[1:-1]) if step.startswith("[") else step for step in re.findall(r"\[\d+\]|[^.\[\]]+", path))
