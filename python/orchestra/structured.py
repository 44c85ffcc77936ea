"""response_format: a type or a schema goes to the provider, an instance comes back.

    lower_response_format(Person) -> ({"type": "json_schema", "json_schema": {"name", "schema", "strict"}}, Parser)

`strict` is set where the schema keeps the rules that OpenAI has for it (every field required, no further ones, only
known keywords); else it is left out.
"""

from __future__ import annotations

import re
from typing import Any
from weakref import WeakKeyDictionary

from . import json_schema
from .errors import InvalidRequest, SchemaMismatch, Truncated
from .json_schema import Mismatch, closest, is_type, member, type_of
from .schema import field_types, is_dataclass_type, is_pydantic_model, is_typed_dict, schema_of, unwrap_required

# OpenAI, "Structured model outputs", supported schemas (as of November 2026).
_STRICT_KEYWORDS = frozenset(
    "type properties required additionalProperties items anyOf enum const $ref $defs definitions description title"
    " pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems".split()
)
_STRICT_FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())

_SCHEMA_SIGNS = frozenset(
    "type properties items anyOf oneOf allOf enum const $ref $defs additionalProperties required prefixItems".split()
)

_lowered: WeakKeyDictionary[Any, tuple[dict[str, Any], Parser]] = WeakKeyDictionary()


class Parser:
    """Turns a reply's text into what was asked for. Holds no state of a call; any thread may use it."""

    def __init__(self, kind: Any, schema: dict[str, Any] | None) -> None:
        """A class to make instances of, else a schema to check against, else any JSON."""
        self._kind = kind
        self._schema = schema

    def __repr__(self) -> str:
        return f"Parser({getattr(self._kind, '__name__', None) or ('schema' if self._schema is not None else 'json')})"

    def __call__(self, text: str, finish_reason: str | None = None, **fields: Any) -> Any:
        """The instance, or JSON value.

        Args:
            text: The reply's text.
            finish_reason: The reply's; "length" is Truncated, whatever the text.
            fields: Attributes for the error, such as `model`.

        Raises:
            SchemaMismatch: With `text` and `path`.
            Truncated: The token limit cut the answer.
        """
        if finish_reason == "length":
            raise Truncated(
                f"the answer was cut by the token limit after {len(text)} characters; raise max_tokens",
                text=text,
                **fields,
            )
        try:
            if is_pydantic_model(self._kind):
                return _pydantic_instance(self._kind, text)
            value = _json(text)
            if self._kind is not None:
                return _instance(self._kind, value, "", 0)
            if self._schema is not None:
                json_schema.validate(value, self._schema, self._schema)
            return value
        except Mismatch as mismatch:
            because = "" if finish_reason in (None, "stop", "tool_calls") else f" (finish_reason {finish_reason})"
            message = f"the answer does not fit the schema: {mismatch}{because}"
            raise SchemaMismatch(message, text=text, path=mismatch.path, **fields) from None


def lower_response_format(value: Any) -> tuple[dict[str, Any] | None, Parser | None]:
    """What the request carries, and what reads the reply; (None, None) for `None` and `{"type": "text"}`.

    Raises:
        InvalidRequest: Neither a pydantic model, a dataclass, a TypedDict nor a JSON schema, or a wrong one.
    """
    if value is None:
        return None, None
    if isinstance(value, dict):
        return _lower_dict(value)
    if not (is_pydantic_model(value) or is_dataclass_type(value) or is_typed_dict(value)):
        name = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise InvalidRequest(
            f"response_format: must be a pydantic model, a dataclass, a TypedDict or a JSON schema, not {name}"
        )
    found = _lowered.get(value)
    if found is None:
        schema = schema_of(value, "response_format")
        if is_pydantic_model(value):
            _close_objects(schema)
        found = _lowered[value] = _wire(value.__name__, schema), Parser(value, schema)
    return found


def _lower_dict(value: dict[str, Any]) -> tuple[dict[str, Any] | None, Parser | None]:
    kind = value.get("type")
    if kind == "text":
        return None, None
    if kind == "json_object":
        return value, Parser(None, None)
    if kind == "json_schema":
        inner = value.get("json_schema")
        path = "response_format.json_schema"
        if not isinstance(inner, dict):
            raise InvalidRequest(f"{path}: must be an object with name and schema")
        if not isinstance(inner.get("name"), str) or not inner["name"]:
            raise InvalidRequest(f"{path}.name: must be a non-empty str")
        schema = inner.get("schema")
        if schema is None:
            return value, Parser(None, None)
        _check(schema, f"{path}.schema")
        return value, Parser(None, schema)
    if not _SCHEMA_SIGNS & value.keys():
        raise InvalidRequest(
            "response_format: the dict is no JSON schema: it has neither type, properties, anyOf nor $ref"
        )
    _check(value, "response_format")
    title = value.get("title")
    return _wire(title if isinstance(title, str) else "", value), Parser(None, value)


def _check(schema: Any, path: str) -> None:
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{path}: must be a JSON schema, not {type(schema).__name__}")
    try:
        json_schema.check_schema(schema, schema)
    except Mismatch as mismatch:
        raise InvalidRequest(f"{member(path, mismatch.path) if mismatch.path else path}: {mismatch.reason}") from None


def _wire(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or "response"
    inner: dict[str, Any] = {"name": name, "schema": schema}
    if schema.get("type") == "object" and "anyOf" not in schema and _is_strict(schema):
        inner["strict"] = True
    return {"type": "json_schema", "json_schema": inner}


def _is_strict(schema: Any) -> bool:
    if not isinstance(schema, dict) or not schema.keys() <= _STRICT_KEYWORDS:
        return False
    if "$ref" in schema:
        return len(schema) == 1
    if not schema.keys() & {"type", "anyOf", "enum", "const"}:
        return False
    names = schema.get("type", [])
    if "object" in (names if isinstance(names, list) else [names]):
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("properties", {})) != set(schema.get("required", [])):
            return False
    if names == "array" and "items" not in schema or schema.get("format", "date") not in _STRICT_FORMATS:
        return False
    inner = [found for place, found in json_schema.subschemas(schema) if place != "additionalProperties"]
    return all(_is_strict(found) for found in inner)


def _close_objects(schema: Any) -> None:
    """pydantic leaves open what it would ignore; providers want objects closed."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    for _, found in json_schema.subschemas(schema):
        _close_objects(found)


def _json(text: str) -> Any:
    import json

    if not text.strip():
        raise Mismatch("", "the answer is empty")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise Mismatch("", "the JSON is nested too deep") from None
    except ValueError as error:
        raise Mismatch("", f"the answer is no JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _pydantic_instance(kind: Any, text: str) -> Any:
    try:
        return kind.model_validate_json(text)
    except ValueError as error:  # pydantic's ValidationError is one
        list_problems = getattr(error, "errors", None)
        problems = list_problems() if callable(list_problems) else []
        if not problems:
            raise Mismatch("", str(error)) from None
        path = ""
        for step in problems[0]["loc"]:
            path = f"{path}[{step}]" if isinstance(step, int) else member(path, str(step))
        raise Mismatch(path, str(problems[0]["msg"])) from None


def _instance(kind: Any, value: Any, path: str, depth: int) -> Any:
    """The value as an instance of the annotation."""
    import enum
    import typing

    if depth > json_schema.MAX_DEPTH:
        raise Mismatch(path, f"is nested deeper than {json_schema.MAX_DEPTH}")
    if kind is Any or kind is object:
        return value
    if kind is None or kind is type(None):
        return _expect(value, "null", path)
    if kind in (str, int, float, bool):
        return _scalar(kind, value, path)
    if kind in (list, dict, tuple, set, frozenset):
        return kind(_expect(value, "object" if kind is dict else "array", path))
    origin = typing.get_origin(kind)
    if origin is not None:
        return _generic_instance(kind, origin, typing.get_args(kind), value, path, depth)
    if hasattr(kind, "__supertype__"):
        return _instance(kind.__supertype__, value, path, depth + 1)
    if hasattr(kind, "__value__") and not isinstance(kind, type):
        return _instance(kind.__value__, value, path, depth + 1)
    if is_pydantic_model(kind):
        import json

        try:
            return _pydantic_instance(kind, json.dumps(value))
        except Mismatch as error:
            separator = "." if path and error.path and not error.path.startswith("[") else ""
            raise Mismatch(path + separator + error.path, error.reason) from None
    if is_dataclass_type(kind):
        return _dataclass_instance(kind, value, path, depth)
    if is_typed_dict(kind):
        return _typed_dict_instance(kind, value, path, depth)
    if issubclass(kind, enum.Enum):
        return _one_of([(each.value, each) for each in kind], value, path)
    return _formatted(kind, value, path)


def _expect(value: Any, name: str, path: str) -> Any:
    if not is_type(value, name):
        raise Mismatch(path, f"must be {name}, not {type_of(value)}")
    return value


def _scalar(kind: type, value: Any, path: str) -> Any:
    if kind is str:
        return _expect(value, "string", path)
    if kind is bool:
        return _expect(value, "boolean", path)
    _expect(value, "integer" if kind is int else "number", path)
    try:
        return kind(value)
    except OverflowError:
        raise Mismatch(path, "is too large for a float") from None


def _formatted(kind: type, value: Any, path: str) -> Any:
    import uuid

    text = _expect(value, "string", path)
    try:
        return uuid.UUID(text) if issubclass(kind, uuid.UUID) else kind.fromisoformat(text)  # type: ignore[attr-defined]
    except ValueError as error:
        raise Mismatch(path, f"is no {kind.__name__}: {error}") from None


def _one_of(choices: list[tuple[Any, Any]], value: Any, path: str) -> Any:
    for wanted, result in choices:
        if json_schema.equal(wanted, value):
            return result
    raise Mismatch(path, f"must be one of {', '.join(repr(wanted) for wanted, _ in choices)}, not {value!r:.60}")


def _generic_instance(kind: Any, origin: Any, arguments: tuple[Any, ...], value: Any, path: str, depth: int) -> Any:
    import collections.abc
    import enum
    import types
    import typing

    if (
        origin in (typing.Annotated, typing.Required, typing.NotRequired)
        or getattr(origin, "__name__", "") == "ReadOnly"
    ):
        return _instance(arguments[0], value, path, depth + 1)
    if origin is typing.Literal:
        return _one_of([(a.value if isinstance(a, enum.Enum) else a, a) for a in arguments], value, path)
    if origin is typing.Union or origin is types.UnionType:
        failures = []
        # An exact type first: 1 for `float | int` is the int.
        for alternative in sorted(arguments, key=lambda a: a is not type(value)):
            try:
                return _instance(alternative, value, path, depth + 1)
            except Mismatch as failure:
                failures.append(failure)
        raise closest(failures, path)
    if issubclass(origin, collections.abc.Mapping):
        _expect(value, "object", path)
        keys, inner = arguments
        return {
            _instance(keys, name, member(path, name), depth + 1): _instance(inner, item, member(path, name), depth + 1)
            for name, item in value.items()
        }
    _expect(value, "array", path)
    if issubclass(origin, tuple) and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        if len(value) != len(arguments):
            raise Mismatch(path, f"must have {len(arguments)} items, not {len(value)}")
        each = zip(arguments, value, strict=True)
        return tuple(_instance(a, item, f"{path}[{index}]", depth + 1) for index, (a, item) in enumerate(each))
    items = [_instance(arguments[0], item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    for made in (tuple, frozenset, set):
        if issubclass(origin, made):
            return made(items)
    return set(items) if issubclass(origin, collections.abc.Set) else items


def _dataclass_instance(kind: Any, value: Any, path: str, depth: int) -> Any:
    import dataclasses

    _expect(value, "object", path)
    types = field_types(kind, path)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    _refuse_unknown(value, fields, path)
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _instance(types[name], value[name], member(path, name), depth + 1)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Mismatch(member(path, name), "is missing")
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:  # from __post_init__
        raise Mismatch(path, f"{kind.__name__} refuses the values: {error}") from None


def _typed_dict_instance(kind: Any, value: Any, path: str, depth: int) -> dict[str, Any]:
    _expect(value, "object", path)
    types = field_types(kind, path)
    _refuse_unknown(value, types, path)
    result = {}
    for name, annotation in types.items():
        required, annotation = unwrap_required(annotation, name in kind.__required_keys__)
        if name in value:
            result[name] = _instance(annotation, value[name], member(path, name), depth + 1)
        elif required:
            raise Mismatch(member(path, name), "is missing")
    return result


def _refuse_unknown(value: dict[str, Any], fields: dict[str, Any], path: str) -> None:
    for name in value:
        if name not in fields:
            raise Mismatch(member(path, name), "is not a field of the schema")
