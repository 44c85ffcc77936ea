"""JSON Schema from Python types, with the standard library alone.

    str int float bool None              {"type": ...}
    list[X] set[X] tuple[X, ...]         arrays; tuple[X, Y] has prefixItems
    dict[str, X]                         an object with free keys
    Literal, Enum                        enum
    X | None, Union                      anyOf
    dataclass, TypedDict                 an object with fixed keys (additionalProperties false)
    a pydantic model                     what pydantic says
    date, datetime, time, UUID           strings with a format
    Annotated[X, "text"]                 a description
    Any, object                          anything

A class that contains itself stands in `$defs` and is referred to; every other class stands in place, because not every
provider follows references. What cannot be expressed is an InvalidRequest that begins with its path.
"""

from __future__ import annotations

from typing import Any

from .errors import InvalidRequest
from .plain import shown

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    list: {"type": "array", "items": {}},
    tuple: {"type": "array", "items": {}},
    set: {"type": "array", "items": {}, "uniqueItems": True},
    frozenset: {"type": "array", "items": {}, "uniqueItems": True},
    dict: {"type": "object"},
    object: {},
    Any: {},
}


def schema_of(kind: Any, path: str = "") -> dict[str, Any]:
    """The JSON schema of a type.

    Args:
        kind: A type or annotation.
        path: Where it stands, for the error's message.

    Raises:
        InvalidRequest: The type has no JSON form.
    """
    builder = SchemaBuilder()
    return builder.finish(builder.build(kind, path))


def is_typed_dict(kind: Any) -> bool:
    import typing

    return typing.is_typeddict(kind)


def is_pydantic_model(kind: Any) -> bool:
    """Whether it is a pydantic model class; pydantic is not imported to find out."""
    return (
        isinstance(kind, type) and callable(getattr(kind, "model_json_schema", None)) and hasattr(kind, "model_fields")
    )


def is_dataclass_type(kind: Any) -> bool:
    return isinstance(kind, type) and "__dataclass_fields__" in kind.__dict__


def field_types(kind: Any, path: str) -> dict[str, Any]:
    """The resolved annotations of a class or function, with Annotated kept."""
    import typing

    try:
        try:
            return typing.get_type_hints(kind, include_extras=True)
        except NameError:
            return typing.get_type_hints(kind, localns=_local_names(kind), include_extras=True)
    except Exception as error:
        name = getattr(kind, "__name__", repr(kind))
        raise InvalidRequest(f"{path or name}: the annotations of {name} cannot be resolved: {error}") from None


def _local_names(kind: Any) -> dict[str, Any]:
    # A class may name itself, and a function the variables that it closes over, though neither is global.
    names: dict[str, Any] = {}
    code, cells = getattr(kind, "__code__", None), getattr(kind, "__closure__", None)
    if code is not None and cells:
        for name, cell in zip(code.co_freevars, cells, strict=True):
            try:
                names[name] = cell.cell_contents
            except ValueError:
                continue
    elif isinstance(kind, type):
        names[kind.__name__] = kind
    return names


def class_description(kind: Any) -> str | None:
    """First paragraph of a class's own docstring; the one that dataclass writes by itself does not count."""
    text = kind.__dict__.get("__doc__")
    if not text or (is_dataclass_type(kind) and text.startswith(kind.__name__ + "(")):
        return None
    return first_paragraph(text)


def first_paragraph(text: str) -> str:
    import inspect

    lines: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        if not line.strip():
            break
        lines.append(line.strip())
    return " ".join(lines)


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class SchemaBuilder:
    """Builds schemas that share one `$defs`. For one use, on one thread."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._open: dict[int, str] = {}  # id of a class that is being built -> its name in $defs
        self._recursive: dict[int, str] = {}  # the same of classes that were found inside themselves

    def finish(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Puts `$defs` beside it; a reference at the top becomes the object itself, as providers want one there."""
        if not self.definitions:
            return schema
        if set(schema) == {"$ref"}:
            schema = self.definitions[schema["$ref"].rsplit("/", 1)[1]]
        return {**schema, "$defs": self.definitions}

    def build(self, kind: Any, path: str) -> dict[str, Any]:
        import typing

        try:
            plain = _PLAIN.get(kind)
        except TypeError:  # unhashable, so no type
            plain = None
        if plain is not None:
            return dict(plain)
        if isinstance(kind, typing.ForwardRef | str):
            raise InvalidRequest(f"{path}: the name {kind!r} cannot be resolved")
        origin = typing.get_origin(kind)
        if origin is not None:
            return self._generic(kind, origin, typing.get_args(kind), path)
        if hasattr(kind, "__supertype__"):  # NewType
            return self.build(kind.__supertype__, path)
        if hasattr(kind, "__value__") and type(kind).__name__ == "TypeAliasType":
            return self._named(kind, kind.__name__, path, lambda: self.build(kind.__value__, path))
        if isinstance(kind, type):
            return self._class(kind, path)
        raise self._impossible(kind, path)

    def _class(self, kind: type, path: str) -> dict[str, Any]:
        import datetime
        import enum
        import uuid

        if is_pydantic_model(kind):
            return self._pydantic(kind)
        if is_dataclass_type(kind):
            return self._named(kind, kind.__name__, path, lambda: self._dataclass(kind, path))
        if is_typed_dict(kind):
            return self._named(kind, kind.__name__, path, lambda: self._typed_dict(kind, path))
        if issubclass(kind, enum.Enum):
            return self._values([member.value for member in kind], path)
        for known, form in (
            (datetime.datetime, "date-time"),
            (datetime.date, "date"),
            (datetime.time, "time"),
            (uuid.UUID, "uuid"),
        ):
            if issubclass(kind, known):
                return {"type": "string", "format": form}
        raise self._impossible(kind, path)

    def _named(self, kind: Any, name: str, path: str, make: Any) -> dict[str, Any]:
        key = id(kind)
        if key in self._open:
            self._recursive[key] = self._open[key]
        if key in self._recursive:
            return {"$ref": f"#/$defs/{self._recursive[key]}"}
        taken = {*self._open.values(), *self.definitions}
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}{number}", number + 1
        self._open[key] = unique
        try:
            schema: dict[str, Any] = make()
        finally:
            del self._open[key]
        if key not in self._recursive:
            return schema
        self.definitions[unique] = schema
        return {"$ref": f"#/$defs/{unique}"}

    def _dataclass(self, kind: Any, path: str) -> dict[str, Any]:
        import dataclasses

        types = field_types(kind, path)
        properties: dict[str, Any] = {}
        required = []
        for field in dataclasses.fields(kind):
            if not field.init:
                continue
            schema = self.build(types[field.name], joined(path, field.name))
            if field.default is not dataclasses.MISSING:
                schema = with_default(schema, field.default)
            elif field.default_factory is dataclasses.MISSING:
                required.append(field.name)
            properties[field.name] = schema
        return self._object(kind, properties, required)

    def _typed_dict(self, kind: Any, path: str) -> dict[str, Any]:
        types = field_types(kind, path)
        required_keys = kind.__required_keys__
        properties: dict[str, Any] = {}
        required = []
        for name, annotation in types.items():
            is_required, annotation = unwrap_required(annotation, name in required_keys)
            properties[name] = self.build(annotation, joined(path, name))
            if is_required:
                required.append(name)
        return self._object(kind, properties, required)

    @staticmethod
    def _object(kind: Any, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = required
        description = class_description(kind)
        return {"description": description, **schema} if description else schema

    def _pydantic(self, kind: Any) -> dict[str, Any]:
        schema = dict(kind.model_json_schema())
        self.definitions.update(schema.pop("$defs", {}))
        return schema

    def _generic(self, kind: Any, origin: Any, arguments: tuple[Any, ...], path: str) -> dict[str, Any]:
        import collections.abc
        import enum
        import types
        import typing

        if origin is typing.Annotated:
            schema = self.build(arguments[0], path)
            for extra in arguments[1:]:
                text = extra if isinstance(extra, str) else getattr(extra, "description", None)
                if isinstance(text, str):
                    schema = {**schema, "description": text}
            return schema
        if origin in (typing.Required, typing.NotRequired) or getattr(origin, "__name__", "") == "ReadOnly":
            return self.build(arguments[0], path)
        if origin is typing.Literal:
            return self._values([a.value if isinstance(a, enum.Enum) else a for a in arguments], path)
        if origin is typing.Union or origin is types.UnionType:
            return {"anyOf": [self.build(a, path) for a in arguments]}
        if isinstance(origin, type):
            if issubclass(origin, tuple) and not (len(arguments) == 2 and arguments[1] is Ellipsis):
                items = [self.build(a, f"{path}[{i}]") for i, a in enumerate(arguments)]
                return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
            if issubclass(origin, collections.abc.Set):
                return {"type": "array", "items": self.build(arguments[0], path + "[]"), "uniqueItems": True}
            if issubclass(origin, collections.abc.Mapping):
                if self.build(arguments[0], path).get("type") != "string":
                    raise InvalidRequest(f"{path}: the keys of {kind} must be str, as JSON has no others")
                values = self.build(arguments[1], path + "[]")
                return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
            if issubclass(origin, collections.abc.Iterable) and len(arguments) in (1, 2):
                return {"type": "array", "items": self.build(arguments[0], path + "[]")}
        raise self._impossible(kind, path)

    def _values(self, values: list[Any], path: str) -> dict[str, Any]:
        kinds = []
        for value in values:
            plain = _PLAIN.get(type(value))
            if plain is None or plain.get("type") not in ("string", "integer", "number", "boolean", "null"):
                raise InvalidRequest(f"{path}: the value {shown(value)} has no JSON form")
            if plain["type"] not in kinds:
                kinds.append(plain["type"])
        return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}

    @staticmethod
    def _impossible(kind: Any, path: str) -> InvalidRequest:
        name = kind.__qualname__ if isinstance(kind, type) else repr(kind)
        return InvalidRequest(f"{path or name}: the type {name} cannot be expressed as a JSON schema")


def unwrap_required(annotation: Any, required: bool) -> tuple[bool, Any]:
    """Required[X] and NotRequired[X] say it themselves: where annotations are strings, the class does not know."""
    import typing

    origin = typing.get_origin(annotation)
    if origin is typing.Required:
        return True, typing.get_args(annotation)[0]
    if origin is typing.NotRequired:
        return False, typing.get_args(annotation)[0]
    return required, annotation


def with_default(schema: dict[str, Any], value: Any) -> dict[str, Any]:
    """Shows a default where JSON can."""
    import enum
    import json

    if isinstance(value, enum.Enum):
        value = value.value
    try:
        if json.loads(json.dumps(value, allow_nan=False)) != value:
            return schema
    except (TypeError, ValueError, RecursionError):
        return schema
    return {**schema, "default": value}
