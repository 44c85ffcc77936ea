"""Fixtures of all Python tests: a clean environment, the recorded data, the real model on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

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
