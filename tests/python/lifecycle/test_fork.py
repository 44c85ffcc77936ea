"""After a fork the child starts afresh at its first call, and the parent goes on as if nothing had been."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Question, Upstream

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")

# Python 3.12 warns of a fork with threads, which is what this is about. A child that hangs is ended by its alarm.
FORK = """
import multiprocessing, warnings
warnings.filterwarnings("ignore", category=DeprecationWarning)
def child(work, seconds=10):
    "Forks; gives the child's pid. The child exits with 0 when work() is true."
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(seconds)
            code = 0 if work() else 2
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid
def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def text(engine, words):
    return engine.chat(words, model=MODEL, timeout=8).text
"""


@pytest.fixture
def run(script: Any) -> Any:
    """run(source): a script with the tools above, and how it ended."""
    return lambda source: script(FORK + source)


def connections(upstream: Upstream, begin: str) -> set[int]:
    return {question.connection for question in upstream.questions if question.text.startswith(begin)}


def test_a_child_uses_the_inherited_engine_and_a_new_one_and_the_parent_keeps_its_connection(
    upstream: Upstream, run: Any
) -> None:
    ended = run("""
say(text(engine, "parent 1"))
def work():
    fresh = oc.Engine(providers=[provider()])
    answers = [text(engine, "child 1"), text(fresh, "child 2"), text(engine, "child 3")]
    return answers == ["child 1", "child 2", "child 3"]
say(code_of(child(work)))
say(text(engine, "parent 2"))
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "parent 1\n0\nparent 2\n", "")
    assert len(connections(upstream, "parent")) == 1
    assert not connections(upstream, "parent") & connections(upstream, "child")


@pytest.mark.parametrize("how", ["os._exit", "sys.exit", "engine.close", "exec"])
def test_calls_in_flight_in_the_parent_are_unaffected_by_a_child(upstream: Upstream, run: Any, how: str) -> None:
    held: list[Question] = []
    usual = upstream.answer

    def answer(question: Question) -> bytes:
        if question.text.startswith("slow"):
            held.append(question)
            return b""
        if question.text == "go":  # the child has lived and died: now the parent's calls are answered
            for one in held:
                one.send(usual(one))
        return usual(question)

    upstream.answer = answer
    leave = {
        "os._exit": "os._exit(0)",
        "sys.exit": "sys.exit(0)",
        "engine.close": "engine.close(); os._exit(0)",
        "exec": "os.execv(sys.executable, [sys.executable, '-c', ''])",
    }[how]
    ended = run(f"""
answers = {{}}
def slow(name, get):
    answers[name] = get(name)
async def asynchronous(name):
    return (await engine.achat(name, model=MODEL)).text
ways = {{
    "slow chat": lambda name: text(engine, name),
    "slow achat": lambda name: asyncio.run(asynchronous(name)),
    "slow stream": lambda name: "".join(delta.text for delta in engine.stream(name, model=MODEL)),
    "slow map": lambda name: engine.map([name], model=MODEL)[0].text,
}}
threads = [threading.Thread(target=slow, args=way) for way in ways.items()]
for one in threads:
    one.start()
until(lambda: engine.stats()["in_flight"] == 4)
input()
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    assert text(engine, "child") == "child"
    {leave}
say(code_of(pid))
assert not answers
say(text(engine, "go"))
for one in threads:
    one.join()
say(json.dumps(answers, sort_keys=True))
""")
    upstream.wait_for(4)
    ended.go_on()
    ended = ended.end()
    expected = (
        '{"slow achat": "slow achat", "slow chat": "slow chat", "slow map": "slow map", "slow stream": "slowstream"}'
    )
    assert (ended.code, ended.out.splitlines(), ended.err) == (0, ["0", "go", expected], "")


def test_a_stream_of_the_parent_is_refused_in_the_child_and_lives_on_in_the_parent(
    upstream: Upstream, hold: Any, run: Any
) -> None:
    usual, opened = upstream.answer, []
    hold("in the stream")
    begun = upstream.answer

    def answer(question: Question) -> bytes:
        if question.text == "child":
            return usual(question)
        if question.text == "go on":
            opened[0].send(usual(opened[0]).partition(b"\r\n\r\n")[2])
            return usual(question)
        opened.append(question)
        return begun(question)

    upstream.answer = answer
    ended = run("""
stream = engine.stream("two three", model=MODEL)
first = next(stream).text
def work():
    for use in (lambda: next(stream), lambda: stream.reply(), lambda: stream.partial):
        try:
            use()
        except RuntimeError as error:
            assert "parent" in str(error), error
        else:
            return False
    stream.close()
    return text(engine, "child") == "child"
say(code_of(child(work)))
text(engine, "go on")
say(first + "".join(delta.text for delta in stream), stream.reply().finish_reason)
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "0\nonetwothree stop\n", "")


@pytest.mark.parametrize("form", ["achat", "astream", "amap", "stream", "map"])
def test_the_first_call_of_a_child_may_have_any_form(run: Any, form: str) -> None:
    first = {
        "achat": '(await engine.achat("child", model=MODEL)).text',
        "astream": '"".join([delta.text async for delta in engine.astream("child", model=MODEL)])',
        "amap": '(await engine.amap(["child"], model=MODEL))[0].text',
        "stream": '"".join(delta.text for delta in engine.stream("child", model=MODEL))',
        "map": 'engine.map(["child"], model=MODEL)[0].text',
    }[form]
    ended = run(f"""
async def ask():
    return {first}
say(text(engine, "parent"))
say(code_of(child(lambda: asyncio.run(ask()) == "child", 4)))
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "parent\n0\n", "")


def test_a_cancel_in_the_parent_closes_the_connection_though_a_child_lives(
    upstream: Upstream, hold: Any, run: Any
) -> None:
    hold("before any answer")
    process = run("""
worker = thread(quiet(lambda: engine.chat("Hi", model=MODEL)))
until(lambda: engine.stats()["in_flight"])
input()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    signal.pause()
engine.close(0)
worker.join()
say("cancelled")
input()
os.kill(pid, signal.SIGKILL)
""")
    question = upstream.wait_for(1)[0]
    process.go_on()
    assert process.process.stdout.readline() == "cancelled\n"
    closed = question.closed.wait(2)
    process.go_on()
    process.end()
    assert closed, "the upstream goes on with a call that was cancelled, because a child holds its connection too"


def test_a_prefork_server_answers_in_every_worker(upstream: Upstream, run: Any) -> None:
    ended = run("""
say(text(engine, "warm"))
def worker(number):
    words = [f"worker {number}/{i}" for i in range(20)]
    async def many():
        return [reply.text for reply in await asyncio.gather(*(engine.achat(one, model=MODEL) for one in words))]
    return [text(engine, one) for one in words] == words and asyncio.run(many()) == words
workers = [child(lambda number=number: worker(number)) for number in range(3)]
say(text(engine, "between"))
say([code_of(pid) for pid in workers])
say(text(engine, "after"))
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "warm\nbetween\n[0, 0, 0]\nafter\n", "")
    used = [connections(upstream, f"worker {number}/") for number in range(3)]
    assert all(used) and not used[0] & used[1] and not used[1] & used[2] and not used[0] & used[2]
    assert len(upstream.questions) == 3 + 3 * 40


@pytest.mark.parametrize("pool", ["Pool", "ProcessPoolExecutor", "Process"])
def test_multiprocessing_by_fork_uses_the_engine_of_the_module(run: Any, pool: str) -> None:
    use = {
        "Pool": "with fork.Pool(3) as pool: say(pool.map(work, range(6)))",
        "ProcessPoolExecutor": "from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(3, mp_context=fork) as pool: say(list(pool.map(work, range(6))))",
        "Process": """
queue = fork.SimpleQueue()
workers = [fork.Process(target=lambda i=i: queue.put(work(i))) for i in range(6)]
for one in workers: one.start()
for one in workers: one.join()
assert {one.exitcode for one in workers} == {0}
say(sorted(queue.get() for _ in workers))""",
    }[pool]
    ended = run(f"""
fork = multiprocessing.get_context("fork")
def work(i):
    return text(engine, f"w{{i}}")
text(engine, "first")
{use}
""").end()
    assert (ended.code, ended.out, ended.err) == (0, str([f"w{i}" for i in range(6)]) + "\n", "")


def test_an_engine_cannot_be_sent_to_a_spawned_process() -> None:
    import multiprocessing

    import orchestra as oc

    with oc.Engine(providers=[]) as engine:
        process = multiprocessing.get_context("spawn").Process(target=print, args=(engine,))
        with pytest.raises(TypeError, match="Engine"):
            process.start()


def test_children_forked_amid_a_storm_of_calls_all_answer(run: Any) -> None:
    ended = run("""
stop, counts = threading.Event(), [0] * 4
def storm(number):
    while not stop.is_set():
        assert text(engine, f"storm {number}") == f"storm {number}"
        counts[number] += 1
threads = [thread(lambda number=number: storm(number)) for number in range(4)]
until(lambda: all(counts))
codes = [code_of(child(lambda: text(engine, "child") == "child")) for _ in range(15)]
before = list(counts)
until(lambda: all(now > then for now, then in zip(counts, before)))
stop.set()
for one in threads:
    one.join()
say(codes)
""").end(40)
    assert (ended.code, ended.out, ended.err) == (0, str([0] * 15) + "\n", "")


def test_a_fork_in_a_thread_in_a_coroutine_and_in_a_child(run: Any) -> None:
    ended = run("""
text(engine, "first")
codes = []
worker = threading.Thread(target=lambda: codes.append(code_of(child(lambda: text(engine, "thread") == "thread"))))
worker.start()
worker.join()
async def ask():
    waiting = asyncio.ensure_future(engine.achat("parent", model=MODEL))
    codes.append(code_of(child(lambda: text(engine, "coroutine") == "coroutine")))
    return (await waiting).text
say(asyncio.run(ask()))
def parent_too():
    text(engine, "child")
    return code_of(child(lambda: text(engine, "grandchild") == "grandchild")) == 0 and text(engine, "x") == "x"
codes.append(code_of(child(parent_too)))
say(codes)
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "parent\n[0, 0, 0]\n", "")


def test_the_child_of_a_coroutine_runs_a_loop_of_its_own(run: Any) -> None:
    ended = run("""
async def ask(words):
    return (await engine.achat(words, model=MODEL)).text
async def main():
    say(await ask("one"))
    pid = child(lambda: asyncio.new_event_loop().run_until_complete(ask("child")) == "child", 4)
    say(code_of(pid))
    say(await ask("two"))
asyncio.run(main())
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "one\n0\ntwo\n", "")


def test_a_key_from_a_function_is_asked_for_in_the_child_too(upstream: Upstream, run: Any) -> None:
    ended = run("""
keyed = oc.Engine(providers=[provider(api_key=lambda: f"key-of-{'parent' if os.getpid() == first else 'child'}")])
first = os.getpid()
say(text(keyed, "parent"))
say(code_of(child(lambda: text(keyed, "child") == "child")))
say(text(keyed, "parent"))
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "parent\n0\nparent\n", "")
    for question in upstream.questions:
        assert f"bearer key-of-{question.text}".encode() in question.headers


def test_a_child_that_never_asks_ends_at_once_with_its_own_code(run: Any) -> None:
    ended = run("""
stream = engine.stream("one two", model=MODEL)
next(stream)
pid = os.fork()
if pid == 0:
    sys.exit(7)
started = time.monotonic()
say(code_of(pid), time.monotonic() - started < 5)
say(next(stream).text)
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "7 True\ntwo\n", "")


def test_what_was_updated_or_closed_before_the_fork_is_so_in_the_child(run: Any) -> None:
    ended = run("""
engine.update(models=[oc.Model(MODEL, input_price=1, output_price=1)])
closed = oc.Engine(providers=[provider()])
text(closed, "x")
closed.close()
def work():
    try:
        closed.chat("Hi", model=MODEL)
    except RuntimeError as error:
        assert "closed" in str(error)
    else:
        return False
    return engine.chat("Hi", model=MODEL).cost.known
say(code_of(child(work)))
engine.close()
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "0\n", "")


def test_an_engine_made_before_any_call_works_on_both_sides(run: Any) -> None:
    ended = run("""
pid = child(lambda: text(engine, "child") == "child")
say(text(engine, "parent"), code_of(pid))
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "parent 0\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_gives_back_the_threads_and_descriptors_of_its_own(run: Any) -> None:
    ended = run("""
def count(what):
    return len(os.listdir(f"/proc/self/{what}"))
for i in range(20):
    text(engine, f"parent {i}")
def work():
    inherited = count("fd")
    assert count("task") == 1
    for i in range(20):
        text(engine, f"child {i}")
    engine.close()
    until(lambda: count("task") == 1)
    return count("fd") <= inherited  # what the child's own engine opened is closed again
say(code_of(child(work)))
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "0\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_connection_reaches_a_program_that_is_started(run: Any, hold: Any, upstream: Upstream) -> None:
    hold("in the stream")
    ended = run("""
import fcntl, socket
before = set(os.listdir("/proc/self/fd"))
stream = engine.stream("Hi", model=MODEL)
next(stream)
flags = []
for name in set(os.listdir("/proc/self/fd")) - before:
    try:
        with socket.socket(fileno=os.dup(int(name))) as copy:
            if copy.family == socket.AF_INET:
                flags.append(fcntl.fcntl(int(name), fcntl.F_GETFD))
    except OSError:
        pass  # no socket
say([bool(flag & fcntl.FD_CLOEXEC) for flag in flags])
""").end()
    assert (ended.code, ended.out, ended.err) == (0, "[True]\n", "")
