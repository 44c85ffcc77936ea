"""An engine from its first call to its end: cancellation, close, fork, update, and the figures that it keeps."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import orchestra as oc
from orchestra.testing import FakeProviders, Fault

OPENAI = "openai-chat/fake-1"
ANTHROPIC = "anthropic-messages/fake-1"
Until = Callable[[Callable[[], object]], None]


def provider(fake: FakeProviders, **arguments: Any) -> oc.Provider:
    return oc.Provider("mine", protocol="openai-chat", base_url=fake.url("openai-chat"), **arguments)


# ---- cancellation and end


def test_a_cancelled_task_closes_its_connection(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([Fault.stall(seconds=30)])

    async def cancel() -> None:
        task = asyncio.create_task(engine.achat("Hi", model=OPENAI))
        while not fake.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    until(lambda: fake.requests[0].closed_at is not None)
    until(lambda: engine.stats()["in_flight"] == 0)
    assert engine.stats()["cost"].estimated


def test_a_closed_engine_refuses_calls_of_every_form(engine: oc.Engine) -> None:
    engine.close()
    engine.close()
    assert engine.closed
    for form in (engine.chat, engine.stream):
        with pytest.raises(RuntimeError, match="closed"):
            form("Hi", model=OPENAI)
    with pytest.raises(RuntimeError, match="closed"):
        engine.map(["Hi"], model=OPENAI)
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(engine.achat("Hi", model=OPENAI))


def test_close_cancels_what_does_not_end_in_time(engine: oc.Engine, fake: FakeProviders, until: Until) -> None:
    fake.script([Fault.stall(seconds=30)])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.chat, "Hi", model=OPENAI)
        until(lambda: fake.requests)
        engine.close(timeout=0)
        with pytest.raises(oc.Cancelled):
            running.result(timeout=10)


def test_close_ends_every_await_of_a_call_that_it_cancels(fake: FakeProviders) -> None:
    async def close_while_waiting(engine: oc.Engine) -> None:
        before = len(fake.requests)
        task = asyncio.create_task(engine.achat("Hi", model=OPENAI))
        while len(fake.requests) == before:
            await asyncio.sleep(0)
        await engine.aclose(timeout=0)
        with pytest.raises(oc.Cancelled):
            await asyncio.wait_for(task, 10)

    fake.script([Fault.stall(seconds=30)] * 50)
    for _ in range(50):  # once in twenty the loop used to forget the last completions
        asyncio.run(close_while_waiting(fake.engine()))


def test_nothing_is_kept_of_a_loop_that_is_done(engine: oc.Engine) -> None:
    def descriptors() -> int:
        asyncio.run(engine.achat("Hi", model=OPENAI))
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(10):
        descriptors()
    assert descriptors() <= before


def test_close_waits_for_what_is_running(fake: FakeProviders, until: Until) -> None:
    fake.script([Fault.stall(seconds=0.1), "done"])
    engine = fake.engine()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.chat, "Hi", model=OPENAI)
        until(lambda: fake.requests)
        engine.close()
        assert running.result(timeout=10).finish_reason == "stop"


def test_an_engine_is_an_asynchronous_context_manager(fake: FakeProviders) -> None:
    async def ask() -> oc.Engine:
        async with fake.engine() as engine:
            await engine.achat("Hi", model=OPENAI)
        return engine

    assert asyncio.run(ask()).closed


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_engine_cannot_be_copied(engine: oc.Engine, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="Engine"):
        copied(engine)


def test_a_forked_child_starts_afresh_and_the_parent_goes_on(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(["before", "in the child", "after"])
    assert engine.chat("Hi", model=OPENAI).text == "before"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork with threads is what this is about
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if engine.chat("Hi", model=OPENAI, timeout=10).text == "in the child" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.chat("Hi", model=OPENAI).text == "after"


def test_a_process_ends_cleanly_with_an_open_engine_and_running_calls() -> None:
    script = """
import threading, orchestra
from orchestra.testing import FakeProviders, Fault
fake = FakeProviders(["openai-chat"], faults=[Fault.stall(1, seconds=60)])
engine = fake.engine()
stream = engine.stream("Hi", model="openai-chat/fake-1")
next(stream)
threading.Thread(target=lambda: engine.chat("Hi", model="openai-chat/fake-1"), daemon=True).start()
print("end")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_an_engine_that_nobody_holds_ends_its_thread(fake: FakeProviders, until: Until) -> None:
    before = len(os.listdir("/proc/self/task"))
    fake.engine().chat("Hi", model=OPENAI)
    gc.collect()
    until(lambda: len(os.listdir("/proc/self/task")) <= before)


# ---- update, stats, config


def test_update_replaces_the_list_whole_and_counts_versions(engine: oc.Engine, fake: FakeProviders) -> None:
    first = engine.update(providers=[provider(fake)])
    assert engine.chat("Hi", model="mine/fake-1").provider == "mine"
    with pytest.raises(oc.InvalidRequest):
        engine.chat("Hi", model=OPENAI)
    assert engine.update(models=[oc.Model("mine/fake-1", input_price=1, output_price=1)]) == first + 1
    assert engine.chat("Hi", model="mine/fake-1").cost.known


def test_an_update_that_fails_changes_nothing(engine: oc.Engine, fake: FakeProviders) -> None:
    before = engine.config()
    with pytest.raises(oc.ConfigError):
        engine.update(providers=[provider(fake)], models=["no model"])  # type: ignore[list-item]
    assert engine.config() == before
    assert engine.chat("Hi", model=OPENAI).text


def test_a_running_call_keeps_the_configuration_with_which_it_began(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script([Fault.stall(1, seconds=0.05), "kept"])
    with engine.stream("Hi", model=OPENAI) as stream:
        next(stream)
        engine.update(providers=[provider(fake)])
        assert "".join(delta.text for delta in stream)
        assert stream.reply().model == OPENAI


def test_stats_count_calls_errors_and_seconds_by_model(engine: oc.Engine, fake: FakeProviders) -> None:
    fake.script(["one", Fault.status(401)])
    engine.chat("Hi", model=OPENAI)
    with pytest.raises(oc.AuthenticationError):
        engine.chat("Hi", model=ANTHROPIC)
    stats = engine.stats()
    assert set(stats) == {"in_flight", "queued", "connections", "calls", "errors", "cost", "models"}
    assert (stats["calls"], stats["errors"], stats["in_flight"], stats["queued"]) == (2, 1, 0, 0)
    assert stats["models"][OPENAI]["calls"] == 1
    assert 0 < stats["models"][OPENAI]["p50"] <= stats["models"][OPENAI]["p99"] < 10
    assert stats["models"][ANTHROPIC]["errors"] == 1


def test_connections_are_used_again(engine: oc.Engine) -> None:
    for _ in range(5):
        engine.chat("Hi", model=OPENAI)
    assert engine.stats()["connections"] == 1


def test_config_and_repr_show_no_key(fake: FakeProviders) -> None:
    with oc.Engine(providers=[provider(fake, api_key="sk-hidden", headers={"X-Key": oc.Secret("sk-too")})]) as engine:
        shown = f"{engine.config()} {engine!r} {engine.stats()}"
    assert "mine" in shown
    assert "sk-" not in shown
