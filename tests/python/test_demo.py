"""The demo: its input, its arithmetic, and one whole run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("orchestra._core", exc_type=ImportError)

from orchestra import demo
from orchestra.cli import DONE, UsageError, main
from orchestra.errors import Interrupted, RateLimited
from orchestra.reply import Cost


def test_there_are_two_hundred_different_prompts() -> None:
    prompts = [row["messages"] for row in demo.read_prompts(demo._PROMPTS)]
    assert len(prompts) == len(set(prompts)) == 200


def test_prompts_come_from_text_json_lines_and_tables(tmp_path: Path) -> None:
    files: dict[str, bytes] = {
        "a.txt": "one\n\n  zwölf \n".encode(),
        "a.jsonl": '{"messages": "one", "model": "x/y"}\n{"messages": "zwölf", "route": "r"}\n'.encode(),
        "a.csv": 'id,prompt\n1,one\n2,"zwölf"\n3,\n'.encode("utf-8-sig"),
        "a.csv.gz": gzip.compress("prompt\none\nzwölf\n".encode()),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert demo.read_prompts(tmp_path / name) == [{"messages": "one"}, {"messages": "zwölf"}], name


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b" \n", "no prompt"),
        ("a.txt", b"\xff\xfe", "a.txt"),
        ("a.jsonl", b'{"messages": "a"}\n{"prompt": "b"}\n', "a.jsonl:2"),
        ("a.jsonl", b"nonsense\n", "a.jsonl:1"),
        ("a.csv", b"text\nx\n", "prompt"),
        ("a.csv.gz", b"no gzip", "a.csv.gz"),
    ],
)
def test_a_file_without_prompts_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words):
        demo.read_prompts(tmp_path / name)


def test_quantiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (demo.quantile(values, 0.5), demo.quantile(values, 0.99), demo.quantile(values, 1.0)) == (50.0, 99.0, 100.0)
    assert (demo.quantile([3.0], 0.5), demo.quantile([3.0], 0.99), demo.quantile([], 0.5)) == (3.0, 3.0, 0.0)


def attempt(model: str, error: str | None = None, *, started: float = 0.0, status: int | None = 200) -> Any:
    usage = None if error else SimpleNamespace(total_tokens=10)
    return SimpleNamespace(
        model=model, error=error, status=status, started=started, latency=0.1, usage=usage, cost=Cost.sum([])
    )


def test_the_tally_counts_tries_by_model_and_remedies_by_fault() -> None:
    tally = demo.Tally()
    refused = attempt("a/x", "RateLimited: wait", status=429)
    reply: Any = SimpleNamespace(attempts=[refused, attempt("a/x", started=1.1)])
    tally.add(reply)
    reply = SimpleNamespace(
        attempts=[attempt("a/x", "DeadlineExceeded: late", status=None), attempt("b/y", started=0.1)]
    )
    tally.add(reply)
    tally.add(Interrupted("cut", attempts=[attempt("b/y", "Interrupted: cut")]), asked_again=True)
    tally.add(RateLimited("no", attempts=[refused]))
    models = tally.models()
    assert {name: (row["calls"], row["retries"], row["errors"], row["tokens"]) for name, row in models.items()} == {
        "a/x": (3, 1, 3, 10),
        "b/y": (2, 0, 1, 10),
    }
    assert (tally.answered, tally.lost) == (2, 1)
    survived = {(entry["error"], entry["remedy"]): entry["waited"] for entry in tally.survived()}
    assert survived[("RateLimited (429)", "tried again")] == pytest.approx([1.0, 1.0])
    assert survived[("DeadlineExceeded", "fell back to b/y")] == pytest.approx([0.0, 0.0])
    assert ("RateLimited (429)", "not survived") in survived
    assert any("asked again" in remedy for _, remedy in survived)


def test_a_whole_run_survives_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["demo", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert code == DONE
    assert (result["prompts"], result["lost"]) == (200, 0)
    rows = result["models"]
    assert {"north/swift", "north/wise", "south/calm"} <= set(rows)
    assert sum(row["calls"] for row in rows.values()) >= 200
    for row in rows.values():
        assert row["calls"] > 0
        assert 0 <= row["p50"] <= row["p99"]
        assert row["tokens"] > 0
        assert row["usd"] is not None
    assert sum(row["retries"] for row in rows.values()) > 0
    assert {"RateLimited (429)", "ServerError (500)"} <= {entry["error"] for entry in result["survived"]}


def test_it_tells_people_what_went_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("one\ntwo\nthree\nfour\nfive\n" * 8)
    assert main(["demo", "--prompts", str(tmp_path / "few.txt"), "--seed", "3"]) == DONE
    out = capsys.readouterr().out
    assert "north/swift" in out
    assert "What went wrong, and how each was survived" in out
    assert "40 prompts in" in out
