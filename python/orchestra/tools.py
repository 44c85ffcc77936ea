"""Tools as a user writes them, lowered to OpenAI's shape.

A function gives its name, the first paragraph of its docstring, and a schema of its parameters; a pydantic model its
name, docstring and schema; a dict in OpenAI's shape stays as it is. The order is kept, for prompt caches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from .errors import InvalidRequest
from .plain import shown
from .schema import (
    SchemaBuilder,
    class_description,
    field_types,
    first_paragraph,
    is_pydantic_model,
    joined,
    schema_of,
    with_default,
)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

# A map lowers the same functions for every row. Keyed by the function, then by whether it was taken as a method: the
# bound method itself is a new object each time.
_lowered: WeakKeyDictionary[Any, dict[bool, dict[str, Any]]] = WeakKeyDictionary()


def lower_tools(tools: Any) -> list[dict[str, Any]]:
    """The tools in OpenAI's shape.

    The dicts are shared between calls: read them, do not change them.

    Args:
        tools: A list or tuple of functions, dicts and pydantic models.

    Raises:
        InvalidRequest: Another kind, a parameter without JSON form, or a name twice; the message begins with the path.
    """
    if not isinstance(tools, list | tuple):
        raise InvalidRequest(f"tools: must be a list of functions, dicts or pydantic models, not {_kind(tools)}")
    lowered = [_lower_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    seen: set[str] = set()
    for index, tool in enumerate(lowered):
        name = tool["function"]["name"]
        if name in seen:
            raise InvalidRequest(f"tools[{index}].function.name: two tools have the name {shown(name, 100)}")
        seen.add(name)
    return lowered


def lower_tool_choice(choice: Any, tools: list[dict[str, Any]] | None = None) -> str:
    """`auto`, `none`, `required`, or the name of one of the lowered tools.

    Also takes the function itself, a pydantic model, and OpenAI's `{"type": "function", "function": {"name": ...}}`.
    """
    if isinstance(choice, dict):
        function = choice.get("function", choice)
        name = function.get("name") if isinstance(function, dict) else None
        if choice.get("type", "function") != "function" or not isinstance(name, str):
            raise InvalidRequest("tool_choice: must be auto, none, required or the name of a tool")
    elif isinstance(choice, str):
        if choice in ("auto", "none", "required"):
            return choice
        name = choice
    elif callable(choice) and isinstance(getattr(choice, "__name__", None), str):
        name = choice.__name__
    else:
        raise InvalidRequest(f"tool_choice: must be auto, none, required or the name of a tool, not {_kind(choice)}")
    known = [tool["function"]["name"] for tool in tools or []]
    if name not in known:
        tools_are = ", ".join(known) or "none"
        raise InvalidRequest(f"tool_choice: no tool has the name {shown(name, 100)}; the tools are: {tools_are}")
    return name


def _lower_tool(tool: Any, path: str) -> dict[str, Any]:
    if isinstance(tool, dict):
        return _checked_dict(tool, path)
    method = getattr(tool, "__func__", None)
    key = tool if method is None else method
    try:
        forms = _lowered.setdefault(key, {})
    except TypeError:  # neither hashable nor weakly referable: not a function
        forms = {}
    found = forms.get(method is not None)
    if found is None:
        found = forms[method is not None] = _build(tool, path)
    return found


def _checked_dict(tool: dict[str, Any], path: str) -> dict[str, Any]:
    if tool.get("type", "function") != "function":
        raise InvalidRequest(f'{path}.type: must be "function", not {shown(tool["type"])}')
    function = tool.get("function")
    if not isinstance(function, dict):
        raise InvalidRequest(f"{path}.function: must be an object with name, description and parameters")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"{path}.function.name: must be a non-empty str, not {_kind(name)}")
    if not isinstance(function.get("parameters", {}), dict):
        raise InvalidRequest(f"{path}.function.parameters: must be a JSON schema, not {_kind(function['parameters'])}")
    return tool


def _build(tool: Any, path: str) -> dict[str, Any]:
    import functools
    import inspect

    if is_pydantic_model(tool):
        parameters = schema_of(tool, path)
        parameters.pop("title", None)
        parameters.pop("description", None)
        return _tool(tool.__name__, class_description(tool), parameters, path)
    function = tool
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(tool, type) or not (inspect.isroutine(function) or callable(getattr(function, "__wrapped__", None))):
        raise InvalidRequest(
            f"{path}: must be a function, a dict in OpenAI's shape or a pydantic model, not {_kind(tool)}"
        )
    documentation = inspect.getdoc(function) or ""
    parameters = _parameters(tool, function, _parameter_descriptions(documentation), path)
    return _tool(function.__name__, first_paragraph(documentation), parameters, path)


def _tool(name: str, description: str | None, parameters: dict[str, Any], path: str) -> dict[str, Any]:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{path}: a tool's name is 1 to 64 letters, digits, _ and -, not {shown(name, 100)}")
    function: dict[str, Any] = {"name": name}
    if description:
        function["description"] = description
    function["parameters"] = parameters
    return {"type": "function", "function": function}


def _parameters(tool: Any, function: Callable[..., Any], described: dict[str, str], path: str) -> dict[str, Any]:
    import inspect

    try:
        signature = inspect.signature(tool)
    except (TypeError, ValueError):
        raise InvalidRequest(f"{path}: the signature of {function.__name__} cannot be read") from None
    types = field_types(inspect.unwrap(function), path)
    builder = SchemaBuilder()
    properties: dict[str, Any] = {}
    required: list[str] = []
    open_ended = False
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        where = joined(path, name)
        if position == 0 and name in ("self", "cls") and name not in types and "." in function.__qualname__:
            raise InvalidRequest(
                f"{where}: {function.__qualname__} is a method without its object; give a bound method"
            )
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise InvalidRequest(f"{where}: a tool is called by keywords, so it cannot have the parameter {parameter}")
        schema = builder.build(types.get(name, Any), where)
        if name in described:
            schema = {"description": described[name], **schema}
        if parameter.default is parameter.empty:
            required.append(name)
        else:
            schema = with_default(schema, parameter.default)
        properties[name] = schema
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    if not open_ended:
        parameters["additionalProperties"] = False
    return builder.finish(parameters)


_SPHINX = re.compile(r":param\s+(?:[^:]*?\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?::.*)?$")


def _parameter_descriptions(documentation: str) -> dict[str, str]:
    """Descriptions out of a docstring in Google's, NumPy's or Sphinx's style. Expects it without common indentation."""
    lines = documentation.splitlines()
    found: dict[str, list[str]] = {}
    for index, line in enumerate(lines):
        if match := _SPHINX.match(line):
            found[match[1]] = [match[2], *_indented(lines, index + 1, 0)]
        elif line.rstrip() in ("Args:", "Arguments:", "Parameters:", "Params:"):
            _read_entries(lines, index + 1, found)
        elif line.strip() == "Parameters" and index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}:
            _read_numpy(lines, index + 2, found)
    return {
        name: " ".join(part.strip() for part in parts if part.strip()) for name, parts in found.items() if any(parts)
    }


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indented(lines: list[str], start: int, indent: int) -> list[str]:
    """The lines from `start` that stand deeper than `indent`, up to an empty one."""
    taken = []
    for line in lines[start:]:
        if not line.strip() or _indent(line) <= indent:
            break
        taken.append(line)
    return taken


def _read_entries(lines: list[str], start: int, found: dict[str, list[str]]) -> None:
    base: int | None = None
    for index in range(start, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        indent = _indent(line)
        if indent == 0:
            return
        base = indent if base is None else base
        if indent == base and (match := _GOOGLE_ENTRY.fullmatch(line.strip())):
            found[match[1]] = [match[2], *_indented(lines, index + 1, base)]


def _read_numpy(lines: list[str], start: int, found: dict[str, list[str]]) -> None:
    for index in range(start, len(lines)):
        line = lines[index]
        if index + 1 < len(lines) and lines[index + 1].strip() and set(lines[index + 1].strip()) == {"-"}:
            return  # the next section
        if line.strip() and _indent(line) == 0 and (match := _NUMPY_ENTRY.match(line)):
            found[match[1]] = _indented(lines, index + 1, 0)


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
