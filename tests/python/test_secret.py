"""A key that shows nowhere."""

from __future__ import annotations

import copy
import io
import json
import pickle
import traceback

import pytest

from orchestra.errors import ConfigError
from orchestra.secret import Secret, is_dynamic, read_key

CANARY = "sk-canary-5f1e0c77aa"


def test_str_repr_and_format_show_stars() -> None:
    secret = Secret(CANARY)
    assert {str(secret), repr(secret), f"{secret}", f"{secret!s}"} == {"Secret(***)"}
    assert f"{secret:>20}" == "         Secret(***)" and repr([secret]) == "[Secret(***)]"


def test_equal_by_value_and_only_to_secrets() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a" and Secret("ü\ud800") == Secret("ü\ud800")
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_it_cannot_be_pickled_or_dumped_as_json() -> None:
    for dump in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            dump(Secret(CANARY))
    assert CANARY not in json.dumps(Secret(CANARY), default=str)


def test_a_copy_is_the_same_secret() -> None:
    secret = Secret(CANARY)
    assert copy.copy(secret) is secret and copy.deepcopy([secret])[0] is secret


def test_it_cannot_be_changed_and_has_no_dict() -> None:
    secret = Secret(CANARY)
    with pytest.raises(AttributeError):
        secret._value = "other"
    with pytest.raises(TypeError):
        vars(secret)


@pytest.mark.parametrize("wrong", [None, 7, "", CANARY.encode()])
def test_a_wrong_value_is_refused_and_not_shown_in_the_locals_of_the_traceback(wrong: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Secret(wrong)  # type: ignore[arg-type]
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in shown.stack if frame.filename.endswith("secret.py") and "test_" not in frame.filename]
    assert frames and not any(CANARY in str(frame.locals) for frame in frames)


def test_env_reads_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", CANARY)
    assert Secret.env("SOME_KEY") == Secret(CANARY)
    monkeypatch.setenv("SOME_KEY", "")
    for name in ("SOME_KEY", "NOT_SET_ANYWHERE"):
        with pytest.raises(ConfigError, match=name):
            Secret.env(name)


def test_file_reads_a_file_without_its_last_line_break(tmp_path) -> None:
    for number, text in enumerate((CANARY, CANARY + "\n", CANARY + "\r\n")):
        path = tmp_path / str(number)
        path.write_bytes(text.encode())
        assert Secret.file(path) == Secret.file(str(path)) == Secret(CANARY)


def test_a_file_that_gives_no_key_is_a_config_error(tmp_path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("empty", "binary", "absent", "."):
        with pytest.raises(ConfigError) as caught:
            Secret.file(tmp_path / name)
        assert str(tmp_path) in str(caught.value)


def test_read_key_reads_all_kinds() -> None:
    assert [read_key(s) for s in (CANARY, Secret(CANARY), lambda: CANARY, lambda: Secret(CANARY))] == [CANARY] * 4
    assert [is_dynamic(s) for s in (CANARY, Secret(CANARY), lambda: CANARY)] == [False, False, True]


def test_a_callable_that_raises_or_gives_no_str_is_a_config_error() -> None:
    def broken() -> str:
        raise KeyError("vault")

    with pytest.raises(ConfigError, match="api_key: the callable raised KeyError"):
        read_key(broken)
    with pytest.raises(ConfigError, match="api_key: the callable gave NoneType, not a str"):
        read_key(lambda: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("bad", [CANARY + "\n", CANARY + "\r\nx-evil: 1", CANARY + "\x00", "ü" + CANARY, ""])
def test_a_value_that_no_header_may_hold_is_refused_and_not_shown(bad: str) -> None:
    with pytest.raises(ConfigError, match="header|empty") as caught:
        read_key(lambda: bad)
    sink = io.StringIO()
    traceback.print_exception(caught.value, file=sink)
    assert CANARY not in sink.getvalue() and caught.value.__context__ is None
