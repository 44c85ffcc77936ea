"""The command line, against fake providers on this machine."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("orchestra._core", exc_type=ImportError)

import orchestra
from orchestra.cli import DONE, FAILED, INTERRUPTED, USAGE, main
from orchestra.testing import FakeProviders, Fault

MODEL = ["--model", "fake/m-1"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake() -> Iterator[FakeProviders]:
    with FakeProviders(["openai-chat"]) as providers:
        yield providers


@pytest.fixture
def config(fake: FakeProviders, tmp_path: Path) -> Path:
    path = tmp_path / "orchestra.toml"
    path.write_text(
        f'[[provider]]\nname = "fake"\nprotocol = "openai-chat"\nbase_url = "{fake.url("openai-chat")}"\n'
        'api_key = "sk-canary"\n\n[[model]]\nname = "fake/m-1"\ninput_price = 1\noutput_price = 2\n'
    )
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """run(*arguments, stdin=b"") gives exit code, stdout and stderr."""

    def call(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return code, written.out, written.err

    return call


def test_chat_prints_the_answer_and_nothing_else(run: Run, fake: FakeProviders, config: Path) -> None:
    fake.script(["Grüße 🙂"])
    assert run("chat", "Hi", *MODEL) == (DONE, "Grüße 🙂\n", "")


def test_chat_streams_the_same_text(run: Run, fake: FakeProviders, config: Path) -> None:
    fake.script(["one two three"])
    assert run("chat", "Hi", *MODEL, "--stream") == (DONE, "one two three\n", "")


def test_chat_reads_stdin_and_sends_the_system_message(run: Run, fake: FakeProviders, config: Path) -> None:
    fake.script(["x"])
    assert run("chat", *MODEL, "--system", "Be short.", stdin="Grüße".encode())[0] == DONE
    sent = fake.requests[0].body["messages"]
    assert [(message["role"], message["content"]) for message in sent] == [("system", "Be short."), ("user", "Grüße")]


def test_chat_as_json_has_the_keys_of_a_row(run: Run, fake: FakeProviders, config: Path) -> None:
    fake.script([{"text": "x", "usage": {"input_tokens": 3, "output_tokens": 4}}])
    code, out, err = run("chat", "Hi", *MODEL, "--json")
    row = json.loads(out)
    assert (code, err) == (DONE, "")
    assert list(row) == ["text", "model", "finish_reason", "usage", "cost"]
    assert (row["text"], row["model"], row["finish_reason"]) == ("x", "fake/m-1", "stop")
    assert row["usage"]["total_tokens"] == 7
    assert row["cost"]["nano_usd"] == 3 * 1000 + 4 * 2000


def test_two_models_are_asked_in_turn(run: Run, fake: FakeProviders, config: Path) -> None:
    fake.script([Fault.status(404), "from the second"])
    code, out, _ = run("chat", "Hi", *MODEL, "--model", "fake/m-2")
    assert (code, out) == (DONE, "from the second\n")


def test_a_failed_call_is_exit_1_and_one_line(run: Run, fake: FakeProviders, config: Path) -> None:
    fake.script([Fault.status(404)])
    code, out, err = run("chat", "Hi", *MODEL)
    assert (code, out) == (FAILED, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["chat", "Hi", "--nonsense"], "--nonsense"),
        (["chat", *MODEL], "empty"),
        (["chat", "  ", *MODEL], "empty"),
        (["chat", "Hi"], "model"),
        (["chat", "Hi", *MODEL, "--route", "r"], "--route"),
        (["chat", "Hi", *MODEL, "--config", "absent.toml"], "absent.toml"),
        (["chat", "Hi", "--model", "nobody/m"], "nobody"),
        (["chat", "Hi\udc80", *MODEL], "messages"),
        (["map", "absent.jsonl", *MODEL], "absent.jsonl"),
        (["map", "orchestra.toml", *MODEL], "orchestra.toml:1"),
        (["map", "-", "--concurrency", "0", *MODEL], "at least 1"),
        (["demo", "--prompts", "absent.txt"], "absent.txt"),
    ],
)
def test_wrong_use_is_exit_2_before_anything_is_sent(
    run: Run, fake: FakeProviders, config: Path, arguments: list[str], words: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (USAGE, "")
    assert words in err
    assert fake.requests == []


def test_a_missing_key_names_the_variable(run: Run) -> None:
    code, _, err = run("chat", "Hi", "--model", "openai/gpt-5-mini")
    assert code == USAGE
    assert "set OPENAI_API_KEY" in err


def test_bytes_that_are_no_text_are_refused(run: Run, config: Path) -> None:
    assert run("chat", *MODEL, stdin=b"abc\xff") == (USAGE, "", "error: stdin: not UTF-8 at byte 3\n")


def test_map_prints_a_line_for_each_row_in_order(run: Run, fake: FakeProviders, config: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"messages": "a"}\n\n{"messages": 42}\n{"messages": "b", "max_tokens": 9}\n')
    fake.script(["x", "x"])
    code, out, err = run("map", "in.jsonl", *MODEL)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == FAILED
    assert [row.get("text") for row in rows] == ["x", None, "x"]
    assert rows[1]["error"]["type"] == "InvalidRequest"
    assert "1 of 3 rows failed; row 2" in err


def test_a_bad_line_is_named_before_anything_is_sent(run: Run, fake: FakeProviders, config: Path) -> None:
    for line in (b"nonsense", b"[1]", b'"text"', b"\xff"):
        code, out, err = run("map", "-", *MODEL, stdin=b'{"messages": "a"}\n' + line + b"\n")
        assert (code, out) == (USAGE, "")
        assert "stdin:2" in err
    assert fake.requests == []


def test_map_resumes(run: Run, fake: FakeProviders, config: Path) -> None:
    rows = b'{"messages": "a"}\n{"messages": "b"}\n'
    first = run("map", "-", *MODEL, "--resume", "done.jsonl", stdin=rows)
    second = run("map", "-", *MODEL, "--resume", "done.jsonl", stdin=rows)
    assert first[0] == second[0] == DONE
    assert first[1] == second[1]
    assert len(fake.requests) == 2


def test_the_configuration_is_the_flag_s_then_the_variable_s_then_the_folder_s(
    run: Run, fake: FakeProviders, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.toml").write_text("[[provider]]\nname = 5\n")
    assert run("chat", "Hi", *MODEL)[0] == DONE
    monkeypatch.setenv("ORCHESTRA_CONFIG", "broken.toml")
    code, _, err = run("chat", "Hi", *MODEL)
    assert code == USAGE
    assert "broken.toml" in err
    assert run("chat", "Hi", *MODEL, "--config", "orchestra.toml")[0] == DONE


def test_help_lists_the_commands_that_exist(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == DONE
    assert all(name in out for name in ("chat", "map", "models", "demo", "doctor"))
    assert not any(name in out for name in ("decide", "traces", "evaluate", "serve", "audit"))


def test_the_version_is_shown(run: Run) -> None:
    assert run("--version") == (DONE, f"orchestra {orchestra.__version__}\n", "")


def test_models_lists_the_catalog(run: Run) -> None:
    code, out, _ = run("models", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == DONE
    assert len(rows) >= 8
    assert all("/" in row["name"] for row in rows)
    code, table, _ = run("models", rows[0]["name"])
    assert code == DONE
    assert rows[0]["name"] in table
    assert run("models", "no-such-model")[0] == FAILED


def test_doctor_shows_what_counts_and_no_key(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-doctor")
    monkeypatch.setenv("https_proxy", "http://user:sk-canary@proxy.example:3128")
    code, out, err = run("doctor", "--json")
    found = json.loads(out)
    assert code == DONE
    assert found["ok"] is True
    assert found["configuration"]["file"] == str(config)
    assert found["keys"] == {"OPENAI_API_KEY": True}
    assert found["proxies"] == {"https_proxy": "http://***@proxy.example:3128"}
    assert found["certificates"]["trusted"]
    assert "canary" not in out + err + run("doctor")[1]


def test_doctor_shows_how_the_requests_of_each_provider_travel(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An https proxy takes the providers beyond it to libcurl, and leaves the others alone."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-doctor")
    monkeypatch.setenv("https_proxy", "http://user:sk-canary@proxy.example:3128")
    config.write_text("""
[[provider]]
name = "openai"
[[provider]]
name = "here"
protocol = "openai-chat"
base_url = "http://127.0.0.1:1"
""")
    connections = json.loads(run("doctor", "--json")[1])["connections"]
    assert connections["here"] == "http://127.0.0.1:1 by own"
    assert connections["openai"].startswith("https://api.openai.com by curl, through http://")
    assert connections["openai"].endswith("proxy.example:3128 (https_proxy)")
    assert "canary" not in connections["openai"]


def test_doctor_finds_a_broken_configuration(run: Run, tmp_path: Path) -> None:
    (tmp_path / "orchestra.toml").write_text("[engine]\nnonsense = 1\n")
    code, out, _ = run("doctor")
    assert code == FAILED
    assert "problem: " in out
    assert "orchestra.toml:2" in out


def test_a_reader_that_leaves_is_no_traceback(config: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m orchestra models | true",
        shell=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def start(*arguments: str) -> subprocess.Popen[str]:
    environment: dict[str, Any] = dict(os.environ)
    return subprocess.Popen(
        [sys.executable, "-m", "orchestra", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["chat", "Hi"], ["chat", "Hi", "--stream"], ["map", "rows.jsonl"]])
def test_ctrl_c_is_exit_130_without_a_traceback(
    fake: FakeProviders, config: Path, tmp_path: Path, arguments: list[str]
) -> None:
    import time

    (tmp_path / "rows.jsonl").write_text('{"messages": "a"}\n')
    fake.script([Fault.stall(seconds=60)])
    process = start(*arguments, *MODEL)
    try:
        deadline = time.monotonic() + 30
        while not fake.requests and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in err
