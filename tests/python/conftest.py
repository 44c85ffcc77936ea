"""Fixtures of all Python tests: a clean environment, the recorded data, the real model on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from orchestra import Engine
from orchestra.testing import FakeProviders
from orchestra.testing.local_model import LocalModel, missing


@pytest.fixture(autouse=True)
def _no_keys_or_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, addresses and proxies of the developer's own shell must not reach a test."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL")) or name.lower().endswith("_proxy") or name == "ORCHESTRA_CONFIG":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder that ORCHESTRA_DATA names, or skip."""
    folder = os.environ.get("ORCHESTRA_DATA")
    if not folder:
        pytest.skip("ORCHESTRA_DATA names no folder of recorded data")
    return Path(folder)


def _without_model(reason: str) -> NoReturn:
    if os.environ.get("ORCHESTRA_REQUIRE_LOCAL_MODEL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _running(model: LocalModel) -> Iterator[LocalModel]:
    reason = missing()
    if reason is not None:
        _without_model(reason)
    try:
        model.start()
    except RuntimeError as error:  # the package's binary does not run on this processor or C library
        _without_model(str(error))
    yield model
    model.stop()


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """One server for the whole session, four slots of 2,048 tokens."""
    yield from _running(LocalModel())


@pytest.fixture
def locked_local_model() -> Iterator[LocalModel]:
    """A second server, which wants the key `sk-local`."""
    yield from _running(LocalModel(api_key="sk-local", slots=1, context=512))


@pytest.fixture(params=["openai-chat", "anthropic-messages"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fake() -> Iterator[FakeProviders]:
    """Both protocols, nothing wrong unless it is scripted."""
    with FakeProviders(["openai-chat", "anthropic-messages"]) as providers:
        yield providers


@pytest.fixture
def engine(fake: FakeProviders) -> Iterator[Engine]:
    with fake.engine() as made:
        yield made
        made.close(0)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits for what another thread or machine does, and fails when it does not within seconds."""

    def wait(is_so: Callable[[], object]) -> None:
        end = time.monotonic() + 10
        while not is_so():
            assert time.monotonic() < end, "it did not come to pass"
            os.sched_yield()

    return wait
