"""JSON Schema from Python types."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import typing
import uuid

import pytest

from orchestra.errors import InvalidRequest
from orchestra.schema import schema_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Address:
    """Where somebody lives."""

    street: str
    number: int


@dataclasses.dataclass
class Person:
    name: typing.Annotated[str, "As in the passport."]
    address: Address
    colour: Colour = Colour.RED
    tags: list[str] = dataclasses.field(default_factory=list)
    note: str | None = None


class Film(typing.TypedDict):
    title: str
    year: typing.NotRequired[int]


class Loose(typing.TypedDict, total=False):
    a: typing.Required[int]
    b: int


@dataclasses.dataclass
class Node:
    value: int
    children: list[Node]


class Elsewhere:
    @dataclasses.dataclass
    class Node:
        text: str
        children: list[Elsewhere.Node]


@dataclasses.dataclass
class Pair:
    left: Node
    right: Node


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (typing.Any, {}),
        (list, {"type": "array", "items": {}}),
        (dict, {"type": "object"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (collections.abc.Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (dict[str, typing.Any], {"type": "object"}),
        (typing.Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (typing.Literal[1, "b", None], {"type": ["integer", "string", "null"], "enum": [1, "b", None]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (typing.Optional[str], {"anyOf": [{"type": "string"}, {"type": "null"}]}),  # noqa: UP045
        (typing.Annotated[int, "Years."], {"type": "integer", "description": "Years."}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (datetime.date, {"type": "string", "format": "date"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (typing.NewType("Id", int), {"type": "integer"}),
    ],
    ids=str,
)
def test_a_type_has_its_schema(kind: object, schema: dict[str, object]) -> None:
    assert schema_of(kind) == schema


def test_a_dataclass_is_a_closed_object() -> None:
    assert schema_of(Person) == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "As in the passport."},
            "address": {
                "description": "Where somebody lives.",
                "type": "object",
                "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
                "additionalProperties": False,
                "required": ["street", "number"],
            },
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "additionalProperties": False,
        "required": ["name", "address"],
    }


def test_a_typed_dict_knows_what_is_required() -> None:
    assert schema_of(Film)["required"] == ["title"] and schema_of(Loose)["required"] == ["a"]
    assert schema_of(Film)["properties"]["year"] == {"type": "integer"}


def test_a_class_inside_itself_stands_in_defs_and_the_top_is_an_object() -> None:
    schema = schema_of(Node)
    assert schema["type"] == "object" and schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"]["value"] == {"type": "integer"}


def test_a_recursive_class_used_twice_is_defined_once() -> None:
    schema = schema_of(Pair)
    assert schema["properties"] == {"left": {"$ref": "#/$defs/Node"}, "right": {"$ref": "#/$defs/Node"}}
    assert list(schema["$defs"]) == ["Node"]


def test_a_local_class_may_name_itself() -> None:
    @dataclasses.dataclass
    class Tree:
        branches: list[Tree]

    assert schema_of(Tree)["properties"]["branches"]["items"] == {"$ref": "#/$defs/Tree"}


def test_two_recursive_classes_of_one_name_stay_apart() -> None:
    both = dataclasses.make_dataclass("Both", [("a", Node), ("b", Elsewhere.Node)])
    schema = schema_of(both)
    assert schema["properties"] == {"a": {"$ref": "#/$defs/Node"}, "b": {"$ref": "#/$defs/Node2"}}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bytes, "bytes"),
        (complex, "complex"),
        (dict[int, str], "keys"),
        (typing.Literal[b"x"], "JSON form"),
        (collections.abc.Callable[[], int], "Callable"),
        (object(), "object"),
    ],
)
def test_what_has_no_json_form_is_refused_with_its_path(kind: object, words: str) -> None:
    shape = dataclasses.make_dataclass("Shape", [("inner", dataclasses.make_dataclass("Inner", [("x", kind)]))])
    with pytest.raises(InvalidRequest, match=words) as caught:
        schema_of(shape, "response_format")
    assert str(caught.value).startswith("response_format.inner.x")


def test_an_annotation_that_names_nothing_is_refused() -> None:
    broken = dataclasses.make_dataclass("Broken", [("x", "Nowhere")])
    with pytest.raises(InvalidRequest, match="Nowhere"):
        schema_of(broken)


def test_a_pydantic_model_inside_a_dataclass_brings_its_definitions() -> None:
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", x=(int, ...))
    outer = pydantic.create_model("Outer", inner=(inner, ...))
    schema = schema_of(dataclasses.make_dataclass("Top", [("outer", outer)]))
    assert schema["properties"]["outer"]["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert schema["$defs"]["Inner"]["properties"]["x"]["type"] == "integer"
