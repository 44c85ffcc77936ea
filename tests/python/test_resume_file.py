"""The file of finished rows."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from orchestra.errors import ConfigError
from orchestra.resume import ResumeFile

REPLY = {"text": "Grüße 🙂\u2028\x00 \ud800", "n": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "done.jsonl"


def filled(path: Path, count: int) -> None:
    with ResumeFile(path) as file:
        for index in range(count):
            file.add(f"{index:04x}", {"index": index, **REPLY})


def test_what_was_added_is_found_again_by_key(path: Path) -> None:
    filled(path, 30)
    with ResumeFile(str(path)) as file:
        assert len(file) == 30
        assert file.lookup("0007") == {"index": 7, **REPLY}
        assert file.lookup("ffff") is None
        file.add("ffff", {"index": -1})
        assert file.lookup("ffff") == {"index": -1}


def test_every_line_is_one_object_and_the_first_is_the_header(path: Path) -> None:
    filled(path, 3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"orchestra": "resume", "version": 1}
    assert [line["key"] for line in lines[1:]] == ["0000", "0001", "0002"]


def test_a_row_is_on_disk_as_soon_as_it_is_added(path: Path) -> None:
    with ResumeFile(path) as file:
        file.add("aa", {})
        assert path.read_bytes().endswith(b'"aa","reply":{}}\n')


def test_a_key_is_written_once(path: Path) -> None:
    with ResumeFile(path) as file:
        file.add("aa", {"a": 1})
        file.add("aa", {"a": 2})
        assert file.lookup("aa") == {"a": 1}
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("lost", [1, 2, 10, 40])
def test_a_torn_last_line_is_dropped_and_the_file_is_whole_again(path: Path, lost: int) -> None:
    filled(path, 5)
    path.write_bytes(path.read_bytes()[:-lost])
    with ResumeFile(path) as file:
        assert len(file) == 4
        file.add("new", {})
    assert all(json.loads(line) for line in path.read_text().splitlines())
    with ResumeFile(path) as file:
        assert len(file) == 5


@pytest.mark.parametrize("kept", range(0, 38, 6))
def test_a_torn_header_is_an_empty_file(path: Path, kept: int) -> None:
    path.write_bytes(b'{"orchestra": "resume", "version": 1}\n'[:kept])
    filled(path, 1)
    with ResumeFile(path) as file:
        assert len(file) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"not json\nat all\n",
        b'{"a": 1}\n{"a": 2}\n',
        b"[1, 2]\n",
        b"id,text\n1,x\n",
        b"\x00\x01\x02\n\x03\n",
        b"no line end",
        b"\n",
        b'{"orchestra": "trace", "version": 1}\n',
        b'{"orchestra": "resume", "version": 2}\n',
        b'{"orchestra": "resume", "version": 1}\n{"key": 1, "reply": {}}\n',
        b'{"orchestra": "resume", "version": 1}\n{"key": "a"}\n',
        b'{"orchestra": "resume", "version": 1}\nbroken\n{"key": "a", "reply": {}}\n',
    ],
)
def test_another_content_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="done.jsonl"):
        ResumeFile(path)
    assert path.read_bytes() == content


def test_two_maps_cannot_share_a_file(path: Path) -> None:
    with ResumeFile(path) as file:
        with pytest.raises(ConfigError, match="in use"):
            ResumeFile(path)
        file.add("aa", {})
    with ResumeFile(path) as file:
        assert len(file) == 1


@pytest.mark.parametrize("name", ["", "absent/done.jsonl", "."])
def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        ResumeFile(f"{tmp_path}/{name}")


def test_what_is_no_regular_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="regular"):
        ResumeFile(os.devnull)


def test_many_threads_may_add(path: Path) -> None:
    with ResumeFile(path) as file:
        threads = [
            threading.Thread(target=lambda t=t: [file.add(f"{t}-{i}", {"t": t, "i": i}) for i in range(50)])  # type: ignore[misc]
            for t in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(file.lookup(f"{t}-{i}") == {"t": t, "i": i} for t in range(4) for i in range(50))
    with ResumeFile(path) as file:
        assert len(file) == 200
