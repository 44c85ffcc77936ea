"""Whatever is given to a call, the answer is a typed error that begins with its place, and nothing is sent."""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Canned

MODEL = "up/m-1"
Ask = Callable[..., Any]


class Hostile(Exception):
    """What the objects below raise."""


class RaisesOnStr:
    def __str__(self) -> str:
        raise Hostile

    __repr__ = __format__ = __bytes__ = __hash__ = __len__ = __bool__ = __index__ = __float__ = __str__  # type: ignore[assignment]


class RaisesOnItem(dict):  # type: ignore[type-arg]
    def __getitem__(self, key: object) -> object:
        raise Hostile

    def get(self, *_: object) -> object:
        raise Hostile

    def keys(self) -> Any:
        raise Hostile

    def items(self) -> Any:
        raise Hostile

    def __iter__(self) -> Any:
        raise Hostile


class RaisesOnIteration(list):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[object]:
        raise Hostile

    def __getitem__(self, key: object) -> object:
        raise Hostile


class RaisesOnAttribute:
    def __getattribute__(self, name: str) -> object:
        if name == "__class__":
            return RaisesOnAttribute
        raise Hostile(name)


class GrowsWhileRead(list):  # type: ignore[type-arg]
    """Gets longer with every look at it."""

    def __len__(self) -> int:
        self.append({"role": "user", "content": "more"}) if super().__len__() < 1000 else None
        return super().__len__()


def itself() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def itself_as_dict() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["me"] = made
    return made


def deep(levels: int = 10_000, kind: type = list) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made] if kind is list else {"a": made}
    return made


WRONG: dict[str, Callable[[], Any]] = {
    "an object": object,
    "bytes": lambda: b"bytes",
    "a lone surrogate": lambda: "a\ud800b",
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("-inf"),
    "a huge int": lambda: 10**400,
    "an int that has no decimal form": lambda: 10**5000,
    "a negative int": lambda: -(2**63) - 1,
    "a complex": lambda: 1j,
    "a Decimal": lambda: Decimal("NaN"),
    "a set": lambda: {1, 2},
    "a generator": lambda: (i for i in range(3)),
    "a class": lambda: int,
    "itself": itself,
    "itself as a dict": itself_as_dict,
    "deep lists": deep,
    "deep dicts": lambda: deep(kind=dict),
    "keys that are no str": lambda: {1: 2},
    "raises on str": RaisesOnStr,
    "raises on item": lambda: RaisesOnItem(a=1),
    "raises on iteration": lambda: RaisesOnIteration([1]),
    "raises on attribute": RaisesOnAttribute,
    "an exception": lambda: Hostile("x"),
    "a memoryview": lambda: memoryview(b"x"),
    "a Secret": lambda: oc.Secret("k"),
}
# What some keywords do take.
ALLOWED = {
    ("seed", "a negative int"),  # within the format's own bounds or not, the provider may say
    ("response_format", "a class"),
    ("tags", "itself as a dict"),
    ("tags", "deep dicts"),
    ("tags", "raises on item"),
    ("extra", "raises on item"),  # a dict all the same
    ("frequency_penalty", "a negative int"),  # a number, whose bounds are the provider's
    ("presence_penalty", "a negative int"),
}
KEYWORDS = [
    "system", "tools", "tool_choice", "response_format", "temperature", "top_p", "max_tokens", "stop", "seed",
    "reasoning_effort", "n", "logprobs", "parallel_tool_calls", "service_tier", "top_k", "frequency_penalty",
    "presence_penalty", "tags", "timeout", "retry", "max_cost", "extra", "drop_unsupported", "model", "route",
]  # fmt: skip


def refused(call: Callable[[], Any], place: str) -> list[str]:
    """What is wrong with how it is refused: by a typed error whose sentence begins with that place, or by what the
    object itself raised."""
    try:
        result = call()
    except (oc.InvalidRequest, oc.Unsupported, oc.ConfigError) as error:
        text = str(error)
        return [] if text.startswith(place) and len(text) < 1000 else [f"{place}: {text:.200}"]
    except (Hostile, TypeError):
        return []
    except Exception as error:
        return [f"{place}: {type(error).__name__}: {error!s:.100}"]
    return [f"{place}: it was taken: {result!r:.100}"]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("form", ["chat", "map"])
def test_a_wrong_value_of_any_keyword_is_refused_by_its_name(
    engine: oc.Engine, canned: Canned, wrong: str, form: str
) -> None:
    def call(name: str) -> Any:
        value = WRONG[wrong]()
        if form == "chat":
            return engine.chat("Hi", **({} if name == "route" else {"model": MODEL}) | {name: value})
        shared = {} if name in ("route", "model") else {"model": MODEL}
        result = engine.map([{"messages": "Hi", name: value}], **shared)[0]
        if isinstance(result, BaseException):
            raise result
        return result

    faults = []
    for name in KEYWORDS:
        if (name, wrong) not in ALLOWED:
            faults += refused(lambda name=name: call(name), name)  # type: ignore[misc]
    assert not faults and not canned.requests


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_messages_are_refused_by_every_form(ask: Ask, canned: Canned, wrong: str) -> None:
    assert not refused(lambda: ask(WRONG[wrong]()), "messages")
    assert not refused(lambda: ask([WRONG[wrong]()]), "messages")
    assert not canned.requests


PLACES: dict[str, Callable[[Any], Any]] = {
    "messages[1]": lambda value: [{"role": "user", "content": "Hi"}, value],
    "messages[0].role": lambda value: [{"role": value, "content": "Hi"}],
    "messages[0].content": lambda value: [{"role": "user", "content": value}],
    "messages[0].content[0]": lambda value: [{"role": "user", "content": [value]}],
    "messages[0].content[0].type": lambda value: [{"role": "user", "content": [{"type": value}]}],
    "messages[0].content[0].text": lambda value: [{"role": "user", "content": [{"type": "text", "text": value}]}],
    "messages[0].content[0].image_url": lambda value: [
        {"role": "user", "content": [{"type": "image_url", "image_url": value}]}
    ],
    "messages[0].tool_calls": lambda value: [{"role": "assistant", "content": None, "tool_calls": value}],
    "messages[0].tool_calls[0]": lambda value: [{"role": "assistant", "content": None, "tool_calls": [value]}],
    "messages[0].tool_call_id": lambda value: [{"role": "tool", "content": "x", "tool_call_id": value}],
}


@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_value_deep_in_the_messages_is_refused_by_its_path(
    engine: oc.Engine, canned: Canned, place: str
) -> None:
    faults = []
    for name, make in WRONG.items():
        told = refused(lambda make=make: engine.chat(PLACES[place](make()), model=MODEL), "messages[")  # type: ignore[misc]
        faults += [f"{name}: {fault}" for fault in told]
    assert not faults
    assert not canned.requests


@pytest.mark.parametrize("form", ["messages", "extra", "tools"])
@pytest.mark.parametrize("levels", [200, 10_000, 100_000])
def test_json_that_is_too_deep_is_refused(engine: oc.Engine, canned: Canned, form: str, levels: int) -> None:
    given = {
        "messages": lambda: {"messages": [{"role": "user", "content": "Hi", "x": deep(levels)}]},
        "extra": lambda: {"messages": "Hi", "extra": {"x": deep(levels, dict)}},
        "tools": lambda: {
            "messages": "Hi",
            "tools": [{"type": "function", "function": {"name": "f", "parameters": deep(levels, dict)}}],
        },
    }[form]()
    with pytest.raises(oc.InvalidRequest) as caught:
        engine.chat(given.pop("messages"), model=MODEL, **given)
    assert str(caught.value).startswith(form) and len(str(caught.value)) < 1000
    assert not canned.requests


@pytest.mark.parametrize("where", ["content", "key", "system", "tool name", "extra", "stop", "model"])
def test_a_lone_surrogate_is_refused_by_its_path(ask: Ask, canned: Canned, where: str) -> None:
    bad = "a\udfff"
    messages, options, place = {
        "content": ([{"role": "user", "content": [{"type": "text", "text": bad}]}], {}, "messages[0].content[0].text"),
        "key": ([{"role": "user", "content": "Hi", bad: 1}], {}, "messages[0]"),
        "system": ("Hi", {"system": bad}, "system"),
        "tool name": ("Hi", {"tools": [{"type": "function", "function": {"name": bad}}]}, "tools[0]"),
        "extra": ("Hi", {"extra": {"x": [bad]}}, "extra.x[0]"),
        "stop": ("Hi", {"stop": ["a", bad]}, "stop[1]"),
        "model": ("Hi", {"model": f"up/{bad}"}, "model"),
    }[where]
    with pytest.raises(oc.InvalidRequest) as caught:
        ask(messages, **options)
    assert str(caught.value).startswith(place)
    str(caught.value).encode()  # the sentence itself can be written anywhere
    assert not canned.requests


def test_a_request_beyond_its_limit_is_refused_by_its_name(engine: oc.Engine, canned: Canned) -> None:
    with pytest.raises(oc.ProtocolError, match="`request` of 67108864 bytes"):
        engine.chat("x" * (64 * 2**20), model=MODEL, timeout=20)
    assert not canned.requests


def test_a_request_just_below_64_mb_arrives_whole(engine: oc.Engine, canned: Canned) -> None:
    body = b'{"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}'
    canned.say = lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    text = "x" * (64 * 2**20 - 1000)
    try:
        assert engine.chat(text, model=MODEL, timeout=20).text == "ok"
    except oc.OrchestraError as error:
        pytest.fail(repr(error)[:500])
    assert len(canned.requests[0]) > len(text)


@pytest.mark.parametrize("value", [10**20, -(10**20), 2**63, 2**64, 10**400])
def test_a_whole_number_of_any_size_goes_through_extra_or_is_refused(
    engine: oc.Engine, canned: Canned, value: int
) -> None:
    canned.say = lambda request: b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(oc.InvalidRequest) as caught:
        engine.chat("Hi", model=MODEL, extra={"number": value})
    if canned.requests:
        sent = json.loads(canned.requests[0].partition(b"\r\n\r\n")[2])
        assert sent["number"] == value
    else:
        assert str(caught.value).startswith("extra.number")


SUBCLASSES: dict[str, Callable[[], Any]] = {
    "str": lambda: type("Text", (str,), {})("Hi"),
    "dict": lambda: type("Table", (dict,), {})(role="user", content="Hi"),
    "list": lambda: type("Row", (list,), {})([{"role": "user", "content": "Hi"}]),
    "tuple": lambda: ({"role": "user", "content": "Hi"},),
    "UserDict": lambda: UserDict(role="user", content="Hi"),
}


@pytest.mark.parametrize("kind", SUBCLASSES)
def test_subclasses_are_read_or_refused_and_never_misread(ask: Ask, canned: Canned, kind: str) -> None:
    canned.say = lambda request: b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(oc.InvalidRequest) as caught:
        ask(SUBCLASSES[kind]())
    if canned.requests:
        sent = json.loads(canned.requests[0].partition(b"\r\n\r\n")[2])
        assert sent["messages"] == [{"role": "user", "content": "Hi"}]
    else:
        assert str(caught.value).startswith("messages")


def test_messages_that_change_while_they_are_read_do_no_harm(engine: oc.Engine) -> None:
    grows = GrowsWhileRead([{"role": "user", "content": "Hi"}])

    class Empties(dict):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            for key in list(self.keys()):
                self.clear()
                yield key

        def items(self) -> Any:
            for pair in list(super().items()):
                self.clear()
                yield pair

    for messages in (grows, [Empties(role="user", content="Hi")], Empties(role="user", content="Hi")):
        try:
            engine.chat(messages, model=MODEL, timeout=5)
        except (oc.OrchestraError, TypeError, RuntimeError) as error:
            assert str(error)


def test_an_unknown_keyword_is_a_type_error_and_in_a_row_an_error_in_place(engine: oc.Engine, canned: Canned) -> None:
    for form in (engine.chat, engine.stream, engine.map):
        with pytest.raises(TypeError, match="temprature"):
            form(["Hi"], model=MODEL, temprature=1)
    for form in (engine.achat, engine.astream, engine.amap):
        with pytest.raises(TypeError, match="temprature"):
            made = form(["Hi"], model=MODEL, temprature=1)
            made.send(None)
    (error,) = engine.map([{"messages": "Hi", "temprature": 1}], model=MODEL)
    assert isinstance(error, oc.InvalidRequest) and str(error).startswith("temprature")
    assert not canned.requests


INPUTS: dict[str, Any] = {
    "a str": "Hi",
    "bytes": b"Hi",
    "a dict": {"messages": "Hi"},
    "None": None,
    "a number": 7,
    "a class": list,
    "raises on attribute": RaisesOnAttribute(),
}


@pytest.mark.parametrize("inputs", INPUTS)
def test_inputs_of_a_map_that_are_no_rows_are_refused(engine: oc.Engine, canned: Canned, inputs: str) -> None:
    assert not refused(lambda: engine.map(INPUTS[inputs], model=MODEL), "inputs")
    assert not canned.requests


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "many", None, True, float("nan"), 10**30, object()])
def test_a_wrong_concurrency_is_refused_or_taken_as_it_is(engine: oc.Engine, canned: Canned, wrong: Any) -> None:
    if wrong == 10**30:
        assert len(engine.map([], model=MODEL, concurrency=wrong)) == 0
    else:
        assert not refused(lambda: engine.map(["Hi"], model=MODEL, concurrency=wrong), "concurrency")
    assert not canned.requests


def test_rows_of_every_wrong_kind_are_errors_in_their_places(engine: oc.Engine, canned: Canned) -> None:
    rows = [make() for name, make in WRONG.items() if name not in ("raises on item", "raises on attribute")]
    batch = engine.map(rows, model=MODEL)
    assert len(batch) == len(rows) and batch.complete
    for row in batch:
        assert isinstance(row, oc.InvalidRequest) and str(row).startswith("messages"), repr(row)
    assert not canned.requests


@pytest.mark.parametrize("kind", ["raises on item", "raises on attribute"])
def test_a_row_that_raises_ends_the_map_or_is_an_error_in_its_place(
    engine: oc.Engine, canned: Canned, kind: str
) -> None:
    try:
        (row,) = engine.map([WRONG[kind]()], model=MODEL)
    except Hostile:
        return
    assert isinstance(row, oc.OrchestraError) and str(row).startswith("messages")
    assert not canned.requests


class Tool:
    def __init__(self, **parts: Any) -> None:
        self.parts = parts

    def __call__(self) -> None: ...


def _bad_signature() -> Callable[..., Any]:
    def tool() -> None: ...

    tool.__signature__ = "wrong"  # type: ignore[attr-defined]
    return tool


def _bad_annotation() -> Callable[..., Any]:
    def tool(value: Any) -> None: ...

    tool.__annotations__["value"] = "no such type ("
    return tool


def _bad_doc() -> Callable[..., Any]:
    def tool(value: int) -> None: ...

    tool.__doc__ = "\ud800"
    return tool


def _bad_default() -> Callable[..., Any]:
    def tool(value: Any = RaisesOnStr()) -> None: ...  # noqa: B008

    return tool


TOOLS: dict[str, Callable[[], Any]] = {
    "a number": lambda: 7,
    "a class": lambda: int,
    "a lambda": lambda: lambda x: x,
    "an object that is called": Tool,
    "a signature that is none": _bad_signature,
    "an annotation that is none": _bad_annotation,
    "a docstring with a surrogate": _bad_doc,
    "a default that raises": _bad_default,
    "no function": lambda: {"type": "function"},
    "a name of bytes": lambda: {"type": "function", "function": {"name": b"f"}},
    "a name with a line break": lambda: {"type": "function", "function": {"name": "f\r\n"}},
    "parameters that are none": lambda: {"type": "function", "function": {"name": "f", "parameters": [1]}},
    "parameters that hold themselves": lambda: {
        "type": "function",
        "function": {"name": "f", "parameters": {"x": itself()}},
    },
    "raises on item": lambda: RaisesOnItem(type="function"),
    "raises on attribute": RaisesOnAttribute,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_wrong_tool_is_refused_by_its_path_or_reaches_the_provider_as_json(
    engine: oc.Engine, canned: Canned, tool: str
) -> None:
    canned.say = lambda request: b"HTTP/1.1 400 the provider refused it\r\ncontent-length: 0\r\n\r\n"
    try:
        engine.chat("Hi", model=MODEL, tools=[TOOLS[tool]()])
    except (oc.InvalidRequest, Hostile) as error:
        if canned.requests:
            assert json.loads(canned.requests[0].partition(b"\r\n\r\n")[2])["tools"]
        else:
            assert isinstance(error, Hostile) or str(error).startswith("tools[0]"), str(error)


@pytest.mark.parametrize(
    "model",
    [
        "",
        "/",
        "up/",
        "/m",
        "m",
        "up",
        "up//",
        "nowhere/m",
        " up/m",
        "up/m\n",
        "route:",
        "route:x",
        [],
        [""],
        ["up/m", 7],
    ],
)
def test_a_wrong_model_is_refused_by_name_before_anything_is_sent(ask: Ask, canned: Canned, model: Any) -> None:
    canned.say = lambda request: b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises((oc.RequestError, oc.ConfigError, oc.NotFound)) as caught:
        ask(model=model)
    if canned.requests:  # some odd name that a provider may know
        assert isinstance(caught.value, oc.NotFound)
    else:
        assert str(caught.value).startswith("model") and len(str(caught.value)) < 2000


@pytest.mark.parametrize("name", ["model", "route", "reasoning_effort", "tool_choice", "service_tier"])
def test_a_sentence_does_not_repeat_a_value_of_a_megabyte(engine: oc.Engine, canned: Canned, name: str) -> None:
    canned.say = lambda request: b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(oc.InvalidRequest) as caught:
        engine.chat("Hi", **({} if name == "route" else {"model": MODEL}) | {name: "x" * 10**6})
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "seconds", [1e-9, 5e-324, 1e300, 10**300, 10**400], ids=lambda seconds: f"{len(str(seconds))} digits"
)
def test_an_odd_timeout_neither_hangs_nor_wraps(engine: oc.Engine, canned: Canned, seconds: float) -> None:
    canned.say = lambda request: b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises((oc.DeadlineExceeded, oc.AuthenticationError, oc.InvalidRequest)) as caught:
        engine.chat("Hi", model=MODEL, timeout=seconds)
    if seconds > 1:
        assert not isinstance(caught.value, oc.DeadlineExceeded)
