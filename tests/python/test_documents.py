"""Every block of code in README.md and docs/ runs as it stands, against the test doubles."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import orchestra as oc
from orchestra.testing import FakeProviders

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A test as docs/reliability.md names it: `python/FILE.py::function`, `cpp/FILE.cpp::Suite.case`.
PROOF = re.compile(r"`([\w/]+\.(?:cpp|hpp|py))::(\w+)(?:\.(\w+))?`")

# What the models of README.md answer, in the order in which it asks.
README_ANSWERS = [
    "Because air scatters blue light most.",
    "Because the light's way through the air is long.",
    "one, two, three, four, five",
    *(str(a * b) for a in range(10) for b in range(10)),
    {"tool_calls": [{"id": "call_1", "name": "weather", "arguments": {"city": "Graz", "days": 1}}]},
    "Yes, take one.",
    '{"title": "Stalker", "year": 1979}',
]


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """(line, code) of each block of that language."""
    text = path.read_text()
    return [(text.count("\n", 0, m.start()) + 2, m[2]) for m in BLOCK.finditer(text) if m[1] == language]


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch):
    with FakeProviders(["openai-chat", "anthropic-messages"]) as fake:
        for name, protocol in (("OPENAI", "openai-chat"), ("ANTHROPIC", "anthropic-messages")):
            monkeypatch.setenv(f"{name}_API_KEY", "key")
            monkeypatch.setenv(f"{name}_BASE_URL", fake.url(protocol))
        yield fake


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_python_block_runs(path: Path, providers: FakeProviders, capsys: pytest.CaptureFixture[str]) -> None:
    if path.name == "README.md":
        providers.script(README_ANSWERS)
    names: dict[str, object] = {"__name__": path.stem}
    for line, code in blocks(path, "python"):
        try:
            exec(compile("\n" * (line - 1) + code, str(path), "exec", dont_inherit=True), names)
        except Exception as error:
            raise AssertionError(f"{path.name}:{line}: {error!r}") from error
    engine = names.get("engine")
    if isinstance(engine, oc.Engine):
        engine.close()
    if path.name == "README.md":
        printed = capsys.readouterr().out
        answers = ("scatters blue light", "one, two, three", "100 answers, 0 errors", "Yes, take one.", "Stalker 1979")
        for expected in answers:
            assert expected in printed


def test_the_commands_of_the_readme_run(providers: FakeProviders, tmp_path: Path) -> None:
    ran = 0
    for _, code in blocks(ROOT / "README.md", "sh"):
        for line in code.splitlines():
            command = shlex.split(line, comments=True)
            if command[:1] == ["orchestra"]:
                words = [sys.executable, "-m", *command]
                done = subprocess.run(
                    words, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=60
                )
                assert done.returncode == 0, done.stderr
                assert done.stdout.strip(), line
                ran += 1
    assert ran == 3


def test_the_links_of_the_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"


def is_a_test(file: str, name: str, case: str) -> bool:
    path = ROOT / "tests" / file
    kind = rf"^(?:TYPED_)?TEST(?:_[FP])?\({name},\s*{case}\)" if case else rf"^ *def {name}\("
    return path.exists() and re.search(kind, path.read_text(), re.MULTILINE) is not None


def test_every_promise_names_a_test_that_exists() -> None:
    promises, found, _ = (ROOT / "docs" / "reliability.md").read_text().partition("\n## What is not promised\n")
    assert found
    for promise in re.split(r"^- ", promises, flags=re.MULTILINE)[1:]:
        proofs = PROOF.findall(promise)
        assert len(proofs) == promise.count("::") > 0, promise
        assert not (gone := [proof for proof in proofs if not is_a_test(*proof)]), f"{promise} names {gone}"
