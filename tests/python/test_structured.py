"""response_format: types in, instances out."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import typing

import pytest

from orchestra.errors import InvalidRequest, SchemaMismatch, Truncated
from orchestra.structured import lower_response_format


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Address:
    street: str
    number: int


@dataclasses.dataclass
class Person:
    name: str
    age: int
    emails: list[str]
    address: Address
    kind: typing.Literal["a", "b"] = "a"
    note: str | None = None
    colour: Colour = Colour.RED
    born: datetime.date | None = None
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    place: tuple[float, float] | None = None
    secret: int = dataclasses.field(default=7, init=False)


class Film(typing.TypedDict):
    title: str
    year: int
    note: typing.NotRequired[str]


@dataclasses.dataclass
class Node:
    value: int
    children: list[Node]


PERSON: dict[str, typing.Any] = {"name": "Zoë", "age": 41, "emails": ["z@x"], "address": {"street": "H", "number": 1}}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}


def parse(kind: object, value: object, finish_reason: str = "stop") -> typing.Any:
    parser = lower_response_format(kind)[1]
    assert parser is not None
    return parser(value if isinstance(value, str) else json.dumps(value), finish_reason)


def wire(kind: object) -> dict[str, typing.Any]:
    sent = lower_response_format(kind)[0]
    assert sent is not None
    return sent


def test_a_dataclass_comes_back_with_nested_instances_and_defaults() -> None:
    more = {"kind": "b", "note": None, "colour": "blue", "born": "1984-02-29", "weights": {"a": 1}, "place": [1, 2.5]}
    assert parse(Person, PERSON) == Person("Zoë", 41, ["z@x"], Address("H", 1))
    assert parse(Person, PERSON | more) == Person(
        "Zoë", 41, ["z@x"], Address("H", 1), "b", None, Colour.BLUE, datetime.date(1984, 2, 29), {"a": 1.0}, (1.0, 2.5)
    )


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"age": "old"}, "age"),
        ({"age": True}, "age"),
        ({"age": 1.5}, "age"),
        ({"address": {"street": "S", "number": "one"}}, "address.number"),
        ({"address": {"street": "S"}}, "address.number"),
        ({"emails": ["a", 1]}, "emails[1]"),
        ({"emails": {}}, "emails"),
        ({"kind": "z"}, "kind"),
        ({"colour": "green"}, "colour"),
        ({"note": 5}, "note"),
        ({"born": "yesterday"}, "born"),
        ({"weights": {"a": "b"}}, "weights.a"),
        ({"place": [1]}, "place"),
        ({"place": [1, "x"]}, "place[1]"),
        ({"surprise": 1}, "surprise"),
        ({"secret": 1}, "secret"),
    ],
)
def test_a_mismatch_names_its_path(change: dict[str, object], path: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        parse(Person, PERSON | change)
    assert caught.value.path == path and path in str(caught.value)
    assert json.loads(caught.value.text) == PERSON | change


def test_a_typed_dict_gives_a_dict_and_says_what_is_missing() -> None:
    assert parse(Film, {"title": "Stalker", "year": 1979}) == {"title": "Stalker", "year": 1979}
    with pytest.raises(SchemaMismatch, match="year: is missing"):
        parse(Film, {"title": "Stalker"})


def test_a_recursive_class_comes_back() -> None:
    assert parse(Node, {"value": 1, "children": [{"value": 2, "children": []}]}) == Node(1, [Node(2, [])])


@pytest.mark.parametrize("kind", [SCHEMA, Node])
@pytest.mark.parametrize("text", ['{"x": 7', "not json", "", "[]", "NaN", '{"x": 1} {"x": 2}'])
def test_what_is_no_json_of_the_shape_is_a_mismatch_with_its_text(kind: object, text: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        parse(kind, text)
    assert caught.value.text == text


def test_endless_nesting_is_a_mismatch_and_no_crash() -> None:
    deep = '{"value": 1, "children": [' * 5000 + "]}" * 5000
    for text in (deep, '{"value": 1, "children": [' * 200 + "]}" * 200, "[" * 100_000):
        with pytest.raises(SchemaMismatch):
            parse(Node, text)


def test_length_is_truncated_whatever_the_text() -> None:
    for text in ('{"x": ', '{"x": 1}'):
        with pytest.raises(Truncated) as caught:
            parse(SCHEMA, text, "length")
        assert caught.value.text == text


def test_the_error_carries_the_fields_it_is_given() -> None:
    parser = lower_response_format(SCHEMA)[1]
    assert parser is not None
    with pytest.raises(SchemaMismatch) as caught:
        parser("{}", "stop", model="a/b", trace_id="t")
    assert (caught.value.model, caught.value.trace_id, caught.value.path) == ("a/b", "t", "x")


def test_the_wire_has_name_and_schema_and_strict_where_its_rules_hold() -> None:
    assert wire(SCHEMA) == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": SCHEMA, "strict": True},
    }
    assert wire(Node)["json_schema"]["name"] == "Node" and wire(Node)["json_schema"]["strict"] is True
    assert "strict" not in wire(Person)["json_schema"]  # some fields are optional
    titled = wire(SCHEMA | {"title": "Größe der Stadt!"})["json_schema"]["name"]
    assert titled == "Gr_e_der_Stadt"


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"required": []},
        {"properties": {"x": {}}},
        {"properties": {"x": {"type": "string", "minLength": 1}}},
        {"properties": {"x": {"type": "integer", "default": 1}}},
        {"properties": {"x": {"type": "array", "prefixItems": []}}},
        {"properties": {"x": {"type": "object"}}},
        {"allOf": [{}]},
    ],
)
def test_what_breaks_a_rule_of_strict_is_not_strict(change: dict[str, object]) -> None:
    assert "strict" not in wire(SCHEMA | change)["json_schema"]


def test_openai_s_shapes_pass_unchanged_and_give_json_values() -> None:
    wrapper = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": False}}
    assert wire(wrapper) is wrapper and parse(wrapper, '{"x": 1}') == {"x": 1}
    with pytest.raises(SchemaMismatch):
        parse(wrapper, '{"x": "1"}')
    assert wire({"type": "json_object"}) == {"type": "json_object"} and parse({"type": "json_object"}, "[1]") == [1]
    assert lower_response_format({"type": "text"}) == (None, None) == lower_response_format(None)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (42, "response_format: "),
        (int, "response_format: "),
        (list[int], "response_format: "),
        ({}, "response_format: "),
        ({"name": "x"}, "response_format: "),
        ({"type": "strnig"}, "response_format.type: "),
        ({"type": "object", "properties": {"a": {"type": 5}}}, "response_format.properties.a.type: "),
        ({"type": "object", "properties": {"a": 5}}, "response_format.properties.a: "),
        ({"properties": {"a": {"items": {"pattern": "("}}}}, "response_format.properties.a.items.pattern: "),
        ({"$ref": "#/$defs/Nowhere"}, "response_format.$ref: "),
        ({"type": "json_schema"}, "response_format.json_schema: "),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "response_format.json_schema.name: "),
    ],
)
def test_a_wrong_format_is_refused_with_its_path(value: object, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        lower_response_format(value)
    assert str(caught.value).startswith(path)


@pytest.mark.parametrize(
    ("schema", "good", "bad", "path"),
    [
        ({"type": "integer"}, [1, 1.0, -5], [True, "1", 1.5, None], ""),
        ({"type": ["string", "null"]}, ["a", None], [1], ""),
        ({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "b"], ""),
        ({"const": {"a": [1]}}, [{"a": [1]}], [{"a": [True]}], ""),
        ({"type": "number", "minimum": 1, "exclusiveMaximum": 2}, [1, 1.5], [0.9, 2], ""),
        ({"type": "number", "multipleOf": 0.1}, [0.3, 1], [0.35], ""),
        ({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"}, ["ab", "abc"], ["a", "abcd", "ba"], ""),
        ({"type": "array", "items": {"type": "integer"}}, [[], [1]], [[1, "a"]], "[1]"),
        ({"type": "array", "items": {}, "minItems": 1, "maxItems": 2}, [[1]], [[], [1, 2, 3]], ""),
        ({"type": "array", "uniqueItems": True}, [[1, True]], [[1, 2, 1.0]], "[2]"),
        ({"prefixItems": [{"type": "string"}], "items": False}, [["a"], []], [["a", 1]], "[1]"),
        ({"properties": {"a": {"items": {"type": "string"}}}}, [{}, {"a": ["x"]}], [{"a": ["x", 1]}], "a[1]"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "1"}], "a"),
        ({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, [{"x1": None}], [{"x1": 1}], "x1"),
        ({"anyOf": [{"type": "string"}, {"properties": {"a": {"type": "null"}}}]}, ["x", {}], [{"a": 1}], "a"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 5}]}, [3, 5.5], [6], ""),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [3], ""),
        ({"not": {"type": "string"}, "type": ["string", "null"]}, [None], ["a"], ""),
        ({"type": ["string", "null"], "if": {"type": "string"}, "then": {"minLength": 2}}, [None, "ab"], ["a"], ""),
        (
            {
                "$ref": "#/$defs/n",
                "$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}, "v": {"type": "null"}}}},
            },
            [{"next": {"next": {}}}],
            [{"next": {"next": {"v": 1}}}],
            "next.next.v",
        ),
    ],
)
def test_a_schema_is_checked(schema: dict[str, object], good: list[object], bad: list[object], path: str) -> None:
    for value in good:
        assert parse(schema | {"type": schema.get("type", list(ALL))}, json.dumps(value)) == value
    for value in bad:
        with pytest.raises(SchemaMismatch) as caught:
            parse(schema | {"type": schema.get("type", list(ALL))}, json.dumps(value))
        assert caught.value.path == path


ALL = ("null", "boolean", "integer", "number", "string", "array", "object")


def test_a_reference_to_itself_ends() -> None:
    with pytest.raises(SchemaMismatch, match="deeper"):
        parse({"$ref": "#"}, "1")


def test_a_refusal_in_post_init_is_a_mismatch() -> None:
    @dataclasses.dataclass
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError("odd")

    assert parse(Even, '{"number": 2}') == Even(2)
    with pytest.raises(SchemaMismatch, match="odd"):
        parse(Even, '{"number": 3}')


def test_a_pydantic_model_comes_back_as_an_instance() -> None:
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", numbers=(list[int], ...))
    model = pydantic.create_model("Point", x=(int, ...), inner=(inner, ...))
    good = {"x": 7, "inner": {"numbers": [1]}}
    assert parse(model, good) == model(**good)
    for bad, path in (
        ({"x": 7, "inner": {"numbers": [1, "a"]}}, "inner.numbers[1]"),
        ({"inner": {"numbers": []}}, "x"),
    ):
        with pytest.raises(SchemaMismatch) as caught:
            parse(model, bad)
        assert caught.value.path == path
    with pytest.raises(SchemaMismatch):
        parse(model, "no json")
    assert wire(model)["json_schema"]["schema"]["additionalProperties"] is False
    assert wire(model)["json_schema"]["strict"] is True
    holder = dataclasses.make_dataclass("Holder", [("point", model)])
    assert parse(holder, {"point": good}) == holder(model(**good))
    with pytest.raises(SchemaMismatch) as caught:
        parse(holder, {"point": {"x": "a", "inner": {"numbers": []}}})
    assert caught.value.path == "point.x"
