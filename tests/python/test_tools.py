"""Tools as users write them."""

from __future__ import annotations

import dataclasses
import functools
import gc
import typing
import weakref

import pytest

from orchestra.errors import InvalidRequest
from orchestra.tools import lower_tool_choice, lower_tools

LOOKUP = {
    "type": "function",
    "function": {"name": "lookup", "parameters": {"type": "object"}},
    "cache_control": {"a": 1},
}


def weather(
    city: str,
    days: int = 1,
    unit: typing.Literal["C", "F"] = "C",
    tags: list[str] | None = None,
    sort: typing.Callable[[str], int] = len,
) -> str:
    """Forecast for a city,
    hour by hour.

    More about it.

    Args:
        city: Name of the city.
        days (int, optional): How many days ahead,
            today included.

    Returns:
        city: not a parameter.
    """
    return city


def simple(city: str, days: int = 1, exact: bool = False) -> str:
    """Forecast.

    Args:
        city: Name of the city.
        days (int, optional): How many days ahead,
            today included.

    Returns:
        exact: not a parameter.
    """
    return city


def parameters(tool: object) -> dict[str, typing.Any]:
    return lower_tools([tool])[0]["function"]["parameters"]  # type: ignore[no-any-return]


def test_a_function_becomes_a_tool() -> None:
    assert lower_tools([simple]) == [
        {
            "type": "function",
            "function": {
                "name": "simple",
                "description": "Forecast.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "city": {"description": "Name of the city.", "type": "string"},
                        "days": {
                            "description": "How many days ahead, today included.",
                            "type": "integer",
                            "default": 1,
                        },
                        "exact": {"type": "boolean", "default": False},
                    },
                    "required": ["city"],
                    "additionalProperties": False,
                },
            },
        }
    ]


def test_a_parameter_without_json_form_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidRequest, match=r"^tools\[1\]\.sort: "):
        lower_tools([simple, weather])


def numpy_style(city: str, days: int) -> None:
    """Forecast.

    Parameters
    ----------
    city : str
        Name of
        the city.
    days
        How many.

    Returns
    -------
    days : int
        Not a parameter.
    """


def sphinx_style(city: str, days: int) -> None:
    """Forecast.

    :param city: Name of
        the city.
    :param int days: How many.
    :returns: nothing
    """


@pytest.mark.parametrize("function", [numpy_style, sphinx_style])
def test_docstrings_of_every_style_describe_parameters(function: object) -> None:
    described = {name: schema["description"] for name, schema in parameters(function)["properties"].items()}
    assert described == {"city": "Name of the city.", "days": "How many."}


def test_a_function_without_parameters_or_docstring() -> None:
    def now():  # type: ignore[no-untyped-def]
        return 0

    tool = lower_tools([now])[0]["function"]
    assert tool == {"name": "now", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}


def test_an_unannotated_parameter_may_be_anything() -> None:
    def echo(value, times=2):  # type: ignore[no-untyped-def]
        return value * times

    assert parameters(echo)["properties"] == {"value": {}, "times": {"default": 2}}


class Desk:
    def book(self, room: str) -> str:
        """Books a room."""
        return room

    @staticmethod
    def free(room: str) -> bool:
        return True


def test_a_bound_method_has_no_self() -> None:
    assert list(parameters(Desk().book)["properties"]) == ["room"] == list(parameters(Desk.free)["properties"])


def test_a_method_without_its_object_is_refused_even_after_the_bound_one() -> None:
    lower_tools([Desk().book])
    with pytest.raises(InvalidRequest, match="bound method"):
        lower_tools([Desk.book])


def test_a_partial_shows_what_is_left() -> None:
    tool = functools.partial(simple, city="Graz")
    assert lower_tools([tool])[0]["function"]["name"] == "simple"
    assert parameters(tool)["properties"]["city"]["default"] == "Graz"


def test_a_wrapped_function_shows_the_inner_signature() -> None:
    @functools.wraps(simple)
    def outer(*args: object, **kwargs: object) -> object:
        return simple(*args, **kwargs)  # type: ignore[arg-type]

    assert set(parameters(outer)["properties"]) == {"city", "days", "exact"}


def test_keyword_rest_opens_the_object_and_positional_rest_is_refused() -> None:
    def rest(a: int, **more: object) -> None: ...
    def positional(*rest: int) -> None: ...
    def only(a: int, /) -> None: ...

    assert "additionalProperties" not in parameters(rest) and list(parameters(rest)["properties"]) == ["a"]
    for wrong in (positional, only):
        with pytest.raises(InvalidRequest, match=r"tools\[0\]\."):
            lower_tools([wrong])


def test_a_dict_passes_unchanged() -> None:
    assert lower_tools([LOOKUP])[0] is LOOKUP


@dataclasses.dataclass
class NotATool:
    x: int


@pytest.mark.parametrize(
    ("tools", "path"),
    [
        ("search", "tools: "),
        (simple, "tools: "),
        ([42], "tools[0]: "),
        ([simple, "search"], "tools[1]: "),
        ([lambda x: x], "tools[0]: "),
        ([NotATool], "tools[0]: "),
        ([{"type": "function"}], "tools[0].function: "),
        ([{"name": "f", "input_schema": {}}], "tools[0].function: "),
        ([{"type": "web_search"}], "tools[0].type: "),
        ([{"type": "function", "function": {}}], "tools[0].function.name: "),
        ([{"type": "function", "function": {"name": "f", "parameters": []}}], "tools[0].function.parameters: "),
        ([LOOKUP, LOOKUP], "tools[1].function.name: two tools have the name 'lookup'"),
    ],
)
def test_wrong_tools_are_refused_with_their_path(tools: object, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        lower_tools(tools)
    assert str(caught.value).startswith(path)


def test_a_function_is_lowered_once_and_forgotten_with_it() -> None:
    def short_lived(x: int) -> int:
        return x

    first, second = lower_tools([short_lived]), lower_tools([short_lived])
    assert first[0] is second[0]
    watcher = weakref.ref(short_lived)
    del short_lived
    gc.collect()
    assert watcher() is None


def test_a_pydantic_model_is_a_tool() -> None:
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", x=(int, ...))
    tool = pydantic.create_model("Search", __doc__="Searches.\n\nMore.", query=(str, ...), inner=(inner, None))
    function = lower_tools([tool])[0]["function"]
    assert (function["name"], function["description"]) == ("Search", "Searches.")
    assert function["parameters"]["required"] == ["query"] and "Inner" in function["parameters"]["$defs"]


@pytest.mark.parametrize(
    ("choice", "lowered"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("simple", "simple"),
        (simple, "simple"),
        ({"type": "function", "function": {"name": "lookup"}}, "lookup"),
    ],
)
def test_tool_choice_is_a_word_or_a_name(choice: object, lowered: str) -> None:
    assert lower_tool_choice(choice, lower_tools([simple, LOOKUP])) == lowered


@pytest.mark.parametrize("choice", ["other", 42, {"type": "any"}, None])
def test_a_choice_of_no_tool_is_refused(choice: object) -> None:
    with pytest.raises(InvalidRequest, match="^tool_choice: "):
        lower_tool_choice(choice, lower_tools([simple]))
