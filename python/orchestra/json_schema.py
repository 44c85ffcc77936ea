"""Checks JSON values against a JSON schema: the keywords that structured output uses, by the rules of draft 2020-12.

Known: type enum const properties required additionalProperties patternProperties propertyNames minProperties
maxProperties items prefixItems minItems maxItems uniqueItems contains anyOf oneOf allOf not if/then/else minimum
maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern, and $ref inside the schema. All
others are notes and do not decide, `format` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 128  # containers inside each other, and references that follow each other

_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")


class Mismatch(Exception):
    """`path` is where, `reason` is what is wrong there."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def member(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def equal(a: Any, b: Any) -> bool:
    """JSON's equality: true is not 1, 1.0 is 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return bool(a == b)


def is_type(value: Any, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            if isinstance(value, float):
                return value.is_integer()
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def type_of(value: Any) -> str:
    return next(name for name in _TYPES if is_type(value, name))


def subschemas(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly inside, each with its place."""
    for keyword in _SCHEMAS:
        if keyword in schema:
            yield keyword, schema[keyword]
    for keyword in _LISTS_OF_SCHEMAS:
        if keyword in schema:
            entries = schema[keyword]
            if not isinstance(entries, list):
                raise Mismatch(keyword, "must be a list of schemas")
            yield from ((f"{keyword}[{index}]", entry) for index, entry in enumerate(entries))
    for keyword in _MAPS_OF_SCHEMAS:
        if keyword in schema:
            entries = schema[keyword]
            if not isinstance(entries, dict):
                raise Mismatch(keyword, "must be an object of schemas")
            yield from ((f"{keyword}.{name}", entry) for name, entry in entries.items())


def check_schema(schema: Any, root: dict[str, Any], path: str = "", depth: int = 0) -> None:
    """Raises Mismatch where the schema itself is wrong, so that a call fails before anything is sent."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise Mismatch(path, f"must be a JSON schema, not {type(schema).__name__}")
    if depth > MAX_DEPTH:
        raise Mismatch(path, f"the schema is nested deeper than {MAX_DEPTH}")
    names = schema.get("type", [])
    for name in names if isinstance(names, list) else [names]:
        if name not in _TYPES:
            raise Mismatch(member(path, "type"), f"must be one of {', '.join(_TYPES)}, not {name!r}")
    for pattern in [schema["pattern"]] if "pattern" in schema else []:
        if not isinstance(pattern, str):
            raise Mismatch(member(path, "pattern"), "must be a str")
        _compiled(pattern, member(path, "pattern"))
    if "enum" in schema and not isinstance(schema["enum"], list):
        raise Mismatch(member(path, "enum"), "must be a list")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise Mismatch(member(path, "required"), "must be a list of names")
    if "$ref" in schema:
        _resolve(schema["$ref"], root, member(path, "$ref"))
    try:
        for place, inner in subschemas(schema):
            check_schema(inner, root, member(path, place), depth + 1)
    except Mismatch as error:
        if path and not error.path.startswith(path):
            raise Mismatch(member(path, error.path), error.reason) from None
        raise


def _compiled(pattern: str, path: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise Mismatch(path, f"{pattern!r} is no regular expression: {error}") from None


def _resolve(reference: Any, root: dict[str, Any], path: str) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise Mismatch(path, f"{reference!r} does not point into this schema")
    target: Any = root
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and step in target:
            target = target[step]
        elif isinstance(target, list) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        else:
            raise Mismatch(path, f"{reference!r} points at nothing")
    return target


def validate(value: Any, schema: Any, root: dict[str, Any], path: str = "", depth: int = 0) -> None:
    """Raises Mismatch at the first place where the value is not what the schema says."""
    if schema is True:
        return
    if schema is False:
        raise Mismatch(path, "is not allowed here")
    if depth > MAX_DEPTH:
        raise Mismatch(path, f"is nested deeper than {MAX_DEPTH}")
    if "$ref" in schema:
        validate(value, _resolve(schema["$ref"], root, path), root, path, depth + 1)
    names = schema.get("type")
    if names is not None:
        names = names if isinstance(names, list) else [names]
        if not any(is_type(value, name) for name in names):
            raise Mismatch(path, f"must be {' or '.join(names)}, not {type_of(value)}")
    if "enum" in schema and not any(equal(value, allowed) for allowed in schema["enum"]):
        raise Mismatch(path, f"must be one of {', '.join(map(repr, schema['enum']))}, not {_short(value)}")
    if "const" in schema and not equal(value, schema["const"]):
        raise Mismatch(path, f"must be {schema['const']!r}, not {_short(value)}")
    if isinstance(value, str):
        _check_string(value, schema, path)
    elif isinstance(value, list):
        _check_array(value, schema, root, path, depth)
    elif isinstance(value, dict):
        _check_object(value, schema, root, path, depth)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema, path)
    _check_combinations(value, schema, root, path, depth)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_string(value: str, schema: dict[str, Any], path: str) -> None:
    if len(value) < schema.get("minLength", 0):
        raise Mismatch(path, f"must have at least {schema['minLength']} characters")
    if len(value) > schema.get("maxLength", len(value)):
        raise Mismatch(path, f"must have at most {schema['maxLength']} characters")
    if "pattern" in schema and not _compiled(schema["pattern"], path).search(value):
        raise Mismatch(path, f"must match {schema['pattern']!r}")


def _check_number(value: float, schema: dict[str, Any], path: str) -> None:
    if "minimum" in schema and value < schema["minimum"]:
        raise Mismatch(path, f"must be at least {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        raise Mismatch(path, f"must be at most {schema['maximum']}")
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        raise Mismatch(path, f"must be greater than {schema['exclusiveMinimum']}")
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        raise Mismatch(path, f"must be less than {schema['exclusiveMaximum']}")
    if "multipleOf" in schema:
        from decimal import Decimal

        # Decimals of the shortest form: 0.3 is a multiple of 0.1.
        if Decimal(str(value)) % Decimal(str(schema["multipleOf"])) != 0:
            raise Mismatch(path, f"must be a multiple of {schema['multipleOf']}")


def _check_array(value: list[Any], schema: dict[str, Any], root: dict[str, Any], path: str, depth: int) -> None:
    if len(value) < schema.get("minItems", 0):
        raise Mismatch(path, f"must have at least {schema['minItems']} items")
    if len(value) > schema.get("maxItems", len(value)):
        raise Mismatch(path, f"must have at most {schema['maxItems']} items")
    first = schema.get("prefixItems", [])
    for index, (item, inner) in enumerate(zip(value, first, strict=False)):
        validate(item, inner, root, f"{path}[{index}]", depth + 1)
    if "items" in schema:
        for index in range(len(first), len(value)):
            validate(value[index], schema["items"], root, f"{path}[{index}]", depth + 1)
    if schema.get("uniqueItems") is True:
        for index, item in enumerate(value):
            if any(equal(item, earlier) for earlier in value[:index]):
                raise Mismatch(f"{path}[{index}]", "stands in the list twice")
    if "contains" in schema and not any(_holds(item, schema["contains"], root, depth) for item in value):
        raise Mismatch(path, "has no item of the kind that must be there")


def _check_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], path: str, depth: int) -> None:
    for name in schema.get("required", []):
        if name not in value:
            raise Mismatch(member(path, name), "is missing")
    if len(value) < schema.get("minProperties", 0):
        raise Mismatch(path, f"must have at least {schema['minProperties']} members")
    if len(value) > schema.get("maxProperties", len(value)):
        raise Mismatch(path, f"must have at most {schema['maxProperties']} members")
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, inner in value.items():
        where = member(path, name)
        if "propertyNames" in schema:
            validate(name, schema["propertyNames"], root, where, depth + 1)
        matching = [found for pattern, found in patterns.items() if _compiled(pattern, where).search(name)]
        if name in properties:
            matching.append(properties[name])
        if not matching and schema.get("additionalProperties") is False:
            raise Mismatch(where, "is not a field of the schema")
        for found in matching or [schema.get("additionalProperties", True)]:
            validate(inner, found, root, where, depth + 1)


def _holds(value: Any, schema: Any, root: dict[str, Any], depth: int) -> bool:
    try:
        validate(value, schema, root, "", depth + 1)
    except Mismatch:
        return False
    return True


def _check_combinations(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str, depth: int) -> None:
    for inner in schema.get("allOf", []):
        validate(value, inner, root, path, depth + 1)
    if "anyOf" in schema:
        failures = []
        for inner in schema["anyOf"]:
            try:
                validate(value, inner, root, path, depth + 1)
                break
            except Mismatch as error:
                failures.append(error)
        else:
            raise closest(failures, path)
    if "oneOf" in schema:
        fitting = sum(_holds(value, inner, root, depth) for inner in schema["oneOf"])
        if fitting != 1:
            raise Mismatch(path, f"must fit exactly one of {len(schema['oneOf'])} alternatives, not {fitting}")
    if "not" in schema and _holds(value, schema["not"], root, depth):
        raise Mismatch(path, "is of a kind that is excluded")
    if "if" in schema:
        branch = "then" if _holds(value, schema["if"], root, depth) else "else"
        validate(value, schema.get(branch, True), root, path, depth + 1)


def closest(failures: list[Mismatch], path: str) -> Mismatch:
    """Of the alternatives' failures the one that came furthest; where none came further, all of them."""
    best = max(failures, key=lambda failure: len(failure.path), default=None)
    if best is not None and (len(best.path) > len(path) or len(failures) == 1):
        return best
    return Mismatch(path, " or ".join(dict.fromkeys(failure.reason for failure in failures)) or "fits no alternative")
