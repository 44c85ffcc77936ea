"""What may be pickled, copied and held, and what a second interpreter does."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import orchestra as oc

if TYPE_CHECKING:
    from .conftest import Upstream

MODEL = "up/m-1"


@pytest.fixture
def engine(upstream: Upstream) -> Iterator[oc.Engine]:
    with upstream.engine() as made:
        made.update(models=[oc.Model(MODEL, input_price=1, output_price=2)])
        yield made
        made.close(0)


VALUES = {
    "Timeout": lambda: oc.Timeout(5),
    "Retry": lambda: oc.Retry(2, after_sent=False),
    "Model": lambda: oc.Model("a/b", capabilities={"tools"}, input_price="0.1"),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_pickle_by_every_protocol(name: str, protocol: int) -> None:
    value = VALUES[name]()
    again = pickle.loads(pickle.dumps(value, protocol))
    assert type(again) is type(value) and again == value and repr(again) == repr(value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_of_a_call_pickles_with_class_text_and_status(
    engine: oc.Engine, upstream: Upstream, protocol: int
) -> None:
    upstream.answer = lambda _: (
        b'HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 27\r\n\r\n{"error": {"message": "y"}}'
    )
    with pytest.raises(oc.RateLimited) as caught:
        engine.chat("Hi", model=MODEL, timeout=2, retry=oc.Retry(attempts=1))
    again = pickle.loads(pickle.dumps(caught.value, protocol))
    assert type(again) is oc.RateLimited and str(again) == str(caught.value) and again.status == 429
    assert (again.retry_after, again.model, again.provider) == (7, MODEL, "up")


OWNERS = {
    "Engine": lambda engine: engine,
    "Provider": lambda engine: oc.Provider("openai", api_key="k"),
    "Secret": lambda engine: oc.Secret("k"),
    "Stream": lambda engine: engine.stream("one two", model=MODEL),
}


@pytest.mark.parametrize("name", OWNERS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_owns_a_key_a_thread_or_a_connection_is_not_pickled(engine: oc.Engine, name: str, protocol: int) -> None:
    owner = OWNERS[name](engine)
    with pytest.raises(TypeError, match=f"{name}|Engine|__slots__|Deltas"):
        pickle.dumps(owner, protocol)
    with pytest.raises(TypeError, match=f"{name}|Engine|__slots__|Deltas"):
        pickle.dumps({"deep": [owner]}, protocol)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_stream_cannot_be_copied(engine: oc.Engine, copied: Callable[[Any], Any]) -> None:
    """A second owner would end the call of the first when it goes."""
    with engine.stream("one two", model=MODEL) as stream, pytest.raises(TypeError, match="Stream|Engine"):
        copied(stream)


RESULTS = """
import copy, pickle, warnings
reply = engine.chat("Hi", model=MODEL)
result = {
    "Reply": lambda: reply,
    "Usage": lambda: reply.usage,
    "Cost": lambda: reply.cost,
    "Attempt": lambda: reply.attempts[0],
    "Choice": lambda: reply.choices[0],
    "Delta": lambda: next(engine.stream("one two", model=MODEL)),
    "Batch": lambda: engine.map(["a", "b"], model=MODEL),
    "ToolCall": lambda: oc.ToolCall("1", "f", "{}"),
}[NAME]()
"""
NAMES = ["Reply", "Usage", "Cost", "Attempt", "Choice", "Delta", "Batch", "ToolCall"]


@pytest.mark.parametrize("name", NAMES)
def test_a_result_pickles_whole_or_is_refused_by_a_type_error(script: Any, name: str) -> None:
    """By every protocol, and the process lives."""
    ended = script(f"""
NAME = {name!r}
{RESULTS}
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    try:
        again = pickle.loads(pickle.dumps(result, protocol))
    except TypeError as error:
        assert str(error)
        continue
    assert repr(again) == repr(result), (protocol, again)
say("done")
""").end()
    assert (ended.code, ended.out) == (0, "done\n"), ended.err


def test_a_fragment_of_a_tool_call_and_what_a_provider_told_of_usage_survive_a_pickle() -> None:
    call = b'{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{"}}'
    body = b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [' + call + b"]}}]}\n\n"
    finish = b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], '
    finish += b'"usage": {"prompt_tokens": 1, "completion_tokens": 2, "odd": 3}}'
    end = b"data: " + finish + b"\n\ndata: [DONE]\n\n"
    with oc.wire.decode_stream("openai-chat", [body, end]) as stream:
        fragment = next(delta.tool_call for delta in stream if delta.tool_call)
        for _ in stream:
            pass
        usage = stream.partial.usage
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert repr(pickle.loads(pickle.dumps(fragment, protocol))) == repr(fragment)
        assert (
            pickle.loads(pickle.dumps(usage, protocol)).raw
            == usage.raw
            == {
                "prompt_tokens": 1,
                "completion_tokens": 2,
                "odd": 3,
            }
        )
    assert copy.copy(fragment).name == copy.deepcopy(fragment).name == "f"


def test_a_result_copies_whole_or_is_refused_by_a_type_error(script: Any) -> None:
    ended = script(f"""
for NAME in {NAMES!r}:
    {RESULTS.strip().replace(chr(10), chr(10) + "    ")}
    for way in (copy.copy, copy.deepcopy):
        try:
            again = way(result)
        except TypeError as error:
            assert str(error)
            continue
        assert repr(again) == repr(result), (way, again)
say("done")
""").end()
    assert (ended.code, ended.out) == (0, "done\n"), ended.err


@pytest.mark.parametrize("kind", ["Reply", "Usage", "Cost", "Attempt", "Delta", "Choice", "ToolCall", "Batch"])
def test_an_object_made_past_its_constructor_holds_nothing_of_the_memory(script: Any, kind: str) -> None:
    """`__new__` without `__init__`, as a broken copy or a debugger does it: an exception, or an empty object."""
    ended = script(f"""
kind = oc.{kind}
junk = [bytes([200]) * size for size in range(8, 400, 8) for _ in range(50)]
del junk
for _ in range(200):
    try:
        made = kind.__new__(kind)
    except TypeError:
        break
    for name in dir(made):
        if name.startswith("__") and name not in ("__repr__", "__str__"):
            continue
        try:
            value = getattr(made, name)
        except (AttributeError, TypeError):
            continue
        assert not isinstance(value, int) or value in (0, 1), (name, value)
        if name in ("__repr__", "__str__"):
            try:
                value()
            except (AttributeError, TypeError):
                pass
say("done")
""").end()
    assert (ended.code, ended.out) == (0, "done\n"), ended.err


def test_an_object_of_python_made_past_its_constructor_ends_without_noise(script: Any) -> None:
    ended = script("""
for kind in (oc.Engine, oc.Provider, oc.Model, oc.Secret, oc.Stream, oc.AsyncStream, oc.Timeout, oc.Retry):
    made = kind.__new__(kind)
    for use in (repr, lambda made: made.config(), lambda made: made.close()):
        try:
            use(made)
        except (AttributeError, TypeError):
            pass
    del made
    gc.collect()
say("done")
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "done\n", "")


def test_what_comes_from_a_call_cannot_be_made(script: Any) -> None:
    ended = script("""
class Mine(oc.Reply):
    pass
for kind in (oc.Reply, oc.Cost, oc.Attempt, oc.Delta, Mine):
    try:
        kind()
    except TypeError as error:
        say(kind.__name__)
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "Reply\nCost\nAttempt\nDelta\nMine\n", "")


def test_a_reply_outlives_its_engine_and_holds_none(upstream: Upstream) -> None:
    engine = upstream.engine()
    reply, known = engine.chat("Hi", model=MODEL), weakref.ref(engine)
    error = None
    upstream.answer = lambda _: b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n"
    try:
        engine.chat("Hi", model=MODEL)
    except oc.AuthenticationError as caught:
        error = caught.with_traceback(None)
    del engine
    gc.collect()
    assert known() is None
    assert reply.text == "Hi" and reply.raw["model"] == "m-1" and reply.attempts[0].status == 200
    assert error is not None and error.attempts[0].status == 401


def test_a_stream_holds_its_engine_while_it_runs(upstream: Upstream) -> None:
    stream = upstream.engine().stream("one two three", model=MODEL)
    gc.collect()
    assert "".join(delta.text for delta in stream) == "onetwothree"


def test_an_async_stream_holds_its_engine_while_it_runs(upstream: Upstream) -> None:
    async def run() -> str:
        stream = upstream.engine().astream("one two three", model=MODEL)
        gc.collect()
        return "".join([delta.text async for delta in stream])

    assert asyncio.run(run()) == "onetwothree"


def test_cycles_through_a_call_are_collected(engine: oc.Engine) -> None:
    class Node:
        me: Any
        reply: Any

    node = Node()
    node.me, node.reply = node, engine.chat("Hi", model=MODEL)
    known = weakref.ref(node.reply)
    del node
    gc.collect()
    assert known() is None


SECOND = """
import orchestra as oc
p = oc.Provider('up', protocol='openai-chat', base_url={url!r}, api_key='k')
with oc.Engine(providers=[p]) as engine:
    assert engine.chat('Hi', model='up/m-1').text == 'Hi'
"""


@pytest.mark.parametrize("first", ["alone", "after the first"])
def test_a_second_interpreter_works_or_is_refused_by_an_import_error(
    upstream: Upstream, script: Any, first: str
) -> None:
    """Whatever it does, the process lives, and the first interpreter goes on."""
    source = SECOND.replace("{url!r}", repr(upstream.url))
    before = 'assert engine.chat("Hi", model=MODEL).text == "Hi"' if first != "alone" else ""
    ended = script(f"""
import importlib
for name in ("_interpreters", "_xxsubinterpreters"):
    try:
        interpreters = importlib.import_module(name)
        break
    except ImportError:
        pass
{before}
second = interpreters.create()
try:
    failed = interpreters.run_string(second, "import sys; sys.path[:] = " + repr(sys.path) + chr(10) + {source!r})
    say("works" if failed is None else failed)
except interpreters.RunFailedError if hasattr(interpreters, "RunFailedError") else RuntimeError as error:
    say(error)
interpreters.destroy(second)
say(engine.chat("Hi", model=MODEL).text)
""").end(4)
    assert ended.code == 0, ended.err
    told, last = ended.out.splitlines()[0], ended.out.splitlines()[-1]
    assert last == "Hi"
    assert told == "works" or "ImportError" in ended.out, ended.out
    assert "Fatal" not in ended.err


def test_the_module_can_be_reloaded_and_imported_by_threads_at_once(script: Any) -> None:
    ended = script("""
import importlib, subprocess
source = "import threading\\nwork = lambda: __import__('orchestra').Engine(providers=[])\\n"
source += "threads = [threading.Thread(target=work) for _ in range(8)]\\n"
source += "[t.start() for t in threads]; [t.join() for t in threads]"
done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=15)
say(done.returncode, done.stderr)
importlib.reload(oc)
say(engine.chat("Hi", model=MODEL).text)
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "0 \nHi\n", "")
