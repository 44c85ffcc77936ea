"""What a user can import, and what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import orchestra
import orchestra.testing
from orchestra import _core

ERRORS = """
    AuthenticationError BudgetError BudgetExceeded Cancelled ConfigError ConnectError ContentFiltered ContextTooLong
    DeadlineExceeded Interrupted InvalidRequest NoEligibleModel NotFound OrchestraError OutputError Overloaded
    PermissionDenied ProtocolError ProviderError RateLimited RequestError RoutingError SchemaMismatch ServerError
    TlsError TransportError Truncated Unsupported
"""
NAMES = f"""
    AsyncStream Attempt Batch Choice Cost Delta Engine Model Provider Reply Retry Secret Stream Timeout ToolCall Usage
    wire {ERRORS}
"""
# Slow to import, or somebody else's: loaded by what needs them, when it is used.
HEAVY = """
    asyncio dataclasses inspect json tomllib importlib.metadata subprocess urllib.request http.client
    numpy pandas pyarrow pydantic matplotlib IPython openai anthropic httpx
"""


def public(module: ModuleType) -> list[str]:
    """Names without an underscore in front; not the submodules, which stand there because something imported them."""
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "annotations"
        and not (isinstance(value, ModuleType) and name not in module.__all__)
    )


def fresh(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (orchestra, NAMES),
        (orchestra.testing, "FakeProviders Fault"),
        (orchestra.wire, "DecodedStream decode_reply decode_stream protocols"),
    ],
)
def test_a_module_has_these_public_names(module: ModuleType, names: str) -> None:
    assert module.__all__ == sorted(names.split())
    assert all(hasattr(module, name) for name in module.__all__)
    if module is not orchestra.wire:  # wire is a module of code and has imports of its own
        assert public(module) == module.__all__


def test_every_error_of_the_tree_is_public() -> None:
    from orchestra.errors import KINDS

    assert sorted(KINDS) == sorted(ERRORS.split())


def test_testing_is_found_without_an_import_of_its_own() -> None:
    assert fresh("import orchestra; print(orchestra.testing.Fault.__name__)") == "Fault\n"
    with pytest.raises(AttributeError, match="nothing"):
        orchestra.nothing  # noqa: B018


def test_package_compiled_module_and_project_have_one_version() -> None:
    assert orchestra.__version__ == _core.version
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == orchestra.__version__


def test_importing_loads_no_heavy_module() -> None:
    loaded = fresh("import sys, orchestra, orchestra.wire; print(*sys.modules)").split()
    assert "orchestra._core" in loaded
    assert sorted(set(HEAVY.split()) & set(loaded)) == []


def test_importing_takes_less_than_fifty_milliseconds(tmp_path: Path) -> None:
    """Beyond a bare interpreter, with compiled bytecode: the best of twenty runs each, taken in turn.

    Seconds of the processor, so that other processes of a busy machine do not count; an import waits for nothing else.
    """
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}

    def seconds(code: str) -> float:
        child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environment)
        _, status, usage = os.wait4(child, 0)
        assert status == 0
        return usage.ru_utime + usage.ru_stime

    seconds("import orchestra")  # writes the bytecode
    runs = [(seconds("pass"), seconds("import orchestra")) for _ in range(20)]
    bare, importing = (min(times) for times in zip(*runs, strict=True))
    assert importing - bare < 0.050
