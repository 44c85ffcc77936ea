"""A file says what the constructors say, and what is wrong with it is told with its line."""

from __future__ import annotations

import textwrap
import tomllib
import traceback

import pytest

from orchestra.config import Model, Provider
from orchestra.engine import Engine
from orchestra.errors import ConfigError
from orchestra.toml_file import expand, load
from orchestra.toml_lines import find_lines

CANARY = "sk-canary-5f1e0c77aa"


@pytest.fixture
def write(tmp_path):
    def run(text: str):
        path = tmp_path / "orchestra.toml"
        path.write_bytes(textwrap.dedent(text).encode())
        return path

    return run


@pytest.fixture
def fault(write):
    """fault(text): the line and the text of the error of such a file."""

    def run(text: str) -> tuple[int, str]:
        path = write(text)
        with pytest.raises(ConfigError) as caught:
            Engine.load(path)
        message = str(caught.value)
        assert message.startswith(f"{path}:")
        line, _, rest = message.removeprefix(f"{path}:").partition(": ")
        return int(line), rest

    return run


def test_a_file_gives_what_the_constructors_give(write) -> None:
    file = load(
        write("""
        [engine]
        seed = 7
        [[provider]]
        name = "fake"
        protocol = "openai-chat"
        base_url = "http://127.0.0.1:1/v1"
        api_key = "k"
        headers = {X-A = "b"}
        [[provider]]
        name = "openai"
        [[model]]
        name = "fake/m"
        capabilities = ["tools"]
        context_window = 32_768
        input_price = 2.5
        """)
    )
    assert file.engine == {"seed": 7}
    assert file.providers == [
        Provider("fake", protocol="openai-chat", base_url="http://127.0.0.1:1/v1", api_key="k", headers={"X-A": "b"}),
        Provider("openai"),
    ]
    assert file.models == [Model("fake/m", capabilities={"tools"}, context_window=32_768, input_price="2.5")]


def test_an_empty_file_is_an_empty_configuration(write) -> None:
    for text in ("", "# nothing\n[engine]\n"):
        file = load(write(text))
        assert (file.engine, file.providers, file.models) == ({}, [], [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${TEAM}", "blue"),
        ("a${TEAM}b${TEAM}", "abluebblue"),
        ("${NOT_SET:-calm}", "calm"),
        ("${EMPTY:-calm}", "calm"),
        ("${EMPTY}", ""),
        ("${NOT_SET:-}", ""),
        ("$$", "$"),
        ("$${TEAM}", "${TEAM}"),
        ("$$$${TEAM}", "$${TEAM}"),
        ("$$${TEAM}", "$blue"),
        ("5$ and $TEAM", "5$ and $TEAM"),
        ("${NOT_SET:-a:-b}", "a:-b"),
        ("${TEAM:-x}", "blue"),
        ("$", "$"),
        ("${NOT_SET:-a$$b}", "a$b"),
        ("${ODD}", 'say "hi" $x ${TEAM} #1'),
    ],
)
def test_variables_are_replaced_once(monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    monkeypatch.setenv("TEAM", "blue")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("ODD", 'say "hi" $x ${TEAM} #1')
    assert expand(text) == (expected, None)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("${NOT_SET}", "the variable NOT_SET is not set"),
        ("x${TEAM", "not closed"),
        ("${", "not closed"),
        ("${A:-${B}}", "inside of another"),
        ("${}", "no name"),
        ("${A-b}", "no name"),
        ("${1A}", "no name"),
        ("${A B}", "no name"),
    ],
)
def test_a_broken_variable_is_told_without_its_string(text: str, word: str) -> None:
    fault = expand(f"{CANARY}{text}")[1]
    assert fault is not None and word in fault and CANARY not in fault


def test_variables_stand_in_strings_at_any_depth_and_nowhere_else(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "blue")
    file = load(
        write("""
        # ${NOT_SET}
        [[provider]]
        name = "openai"
        headers = {X-A = "${TEAM}", X-B = 'a$$b'}
        """)
    )
    assert dict(file.providers[0].headers) == {"X-A": "blue", "X-B": "a$b"}


P = '[[provider]]\nname = "openai"\n'
BROKEN = {
    "an unset variable": (P + 'privacy = "public"\nregion = "${NOT_SET}"', 4, "the variable NOT_SET is not set"),
    "an unset variable in a long array": (
        '[[model]]\nname = "a/b"\naliases = [\n "a/c",\n # no\n "${NOT_SET}",\n]',
        6,
        "NOT_SET",
    ),
    "an unset variable in an inline table": (P + 'headers = {X-A = "b", X-B = "${NOT_SET}"}', 3, "NOT_SET"),
    "an unset variable in a sub-table": (P + '[provider.headers]\nX-A = "b"\nX-B = "${NOT_SET}"', 5, "NOT_SET"),
    "an unclosed variable": (P + 'region = "${X"', 3, "not closed"),
    "an unknown key of a provider": (
        P + 'privcy = "local"',
        3,
        'privcy: provider "openai" has no such option; did you mean "privacy"?',
    ),
    "an unknown key of a model": ('[[model]]\nname = "a/b"\n\ncontxt_window = 1', 4, 'did you mean "context_window"?'),
    "an unknown key of the engine": ("[engine]\nsed = 1", 2, 'sed: unknown key; did you mean "seed"?'),
    "a wrong seed": ("[engine]\nseed = -1", 2, "seed: must be a whole number"),
    "a provider twice": (P + P, 4, 'providers[1].name: "openai" stands there twice'),
    "a model twice": (
        '[[model]]\nname = "a/b"\n[[model]]\naliases = ["a/b"]\nname = "a/c"',
        4,
        'aliases: "a/b" stands there twice',
    ),
    "a key with a line break": (P + 'api_key = "a\\nb"', 3, "api_key: holds a line break"),
    "a key named self": (P + "self = 1", 3, "self: unknown key"),
    "a wrong type": (P + "region = 42", 3, "region: must be a string"),
    "a date": (P + "region = 2026-11-25", 3, "region: cannot be a date"),
    "not a number": ('[[model]]\nname = "a/b"\nquality = nan', 3, "quality: must be a finite number"),
    "a wrong header": (P + '[provider.headers]\nX-A = "b"\nX-B = 7', 5, "headers.X-B: must be a string"),
    "a wrong capability": (
        '[[model]]\nname = "a/b"\n[model.capabilities]\ntools = true\nseed = 1',
        5,
        "capabilities.seed: ",
    ),
    "a wrong alias": ('[[model]]\nname = "a/b"\naliases = [\n"a/c",\n"d"]', 5, "aliases[1]: "),
    "no name": ('\n\n[[provider]]\nregion = "eu"', 3, "name: is missing"),
    "an unknown table": ('[[provder]]\nname = "x"', 1, 'did you mean "provider"?'),
    "a table in the place of a list": (
        '[provider]\nname = "openai"',
        1,
        "provider: must be a list of tables, [[provider]]",
    ),
    "a list in the place of a table": ("[[engine]]\nseed = 1", 1, "engine: must be one table, [engine]"),
    "a value in the place of a table": ("model = 1", 1, "model: must be a list of tables"),
    "a route": (P + '[[route]]\nname = "x"', 3, "[[route]]: routes come with a later version"),
    "a budget": (P + "[[budget]]\nusd = 1", 3, "[[budget]]: budgets come with a later version"),
    "the third model": (
        '[[model]]\nname = "f/a"\n[[model]]\nname = "f/b"\n[[model]]\nname = "f/c"\ncontext_window = "big"',
        7,
        "context_window: ",
    ),
    "a broken line": (P + "this is no toml\n", 3, ""),
    "a key twice": (P + 'region = "eu"\nregion = "us"\nprivacy = "local"\n', 4, ""),
    "a string without an end": (P + 'region = """eu\n\n', 4, ""),
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(("text", "line", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_told_with_its_line(fault, text: str, line: int, words: str, ending: str) -> None:
    told = fault(text.replace("\n", ending))
    assert told[0] == line and words in told[1], told


def test_no_error_quotes_a_key(write) -> None:
    for text in (
        P + f'api_key = "{CANARY}"\nprivcy = 1',
        P + f'api_key = "{CANARY}${{X"',
        P + f'api_key = ["{CANARY}"]',
        P + f'api_key = "{CANARY}\\n',
        P + f'apikey = "{CANARY}"',
        P + f"api_key = {CANARY}",
        P + f'headers = {{X-Key = "{CANARY}\\n"}}',
        P + f'base_url = "https://u:{CANARY}@h/v1"',
    ):
        with pytest.raises(ConfigError) as caught:
            load(write(text))
        shown = "".join(traceback.TracebackException.from_exception(caught.value).format())
        assert CANARY not in shown, text


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes("a = 1\n# Grüße".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml:2: is no UTF-8 text"):
        load(tmp_path / "latin.toml")


def test_lines_are_found_through_everything_toml_has() -> None:
    text = textwrap.dedent('''\
        top = """
        [not.a.table]
        x = 1 \\""" # still inside """"
        other = \'\'\'
        [[nor.this]]\'\'\'   # comment = 1
        "quoted \\u006bey" . 'lite ral' = [ # [
          1, "]", # ]
          { a = "}", b = { c = [1,
          2] } },
        ] # end
        [a.b]
        c.d.e = 1
        [[t]]
        x = 1
        [t.sub]
        y = {z = 2}
        [[t]]
        [[t.u]]
        v = 1979-05-27T07:32:00Z
        [[t.u]]
        v = 'a#b' # x
        w = -1_000.5e3
        ''')
    tomllib.loads(text)
    for ending in ("\n", "\r\n"):
        lines = find_lines(text.replace("\n", ending))
        assert {
            path: lines[path]
            for path in [
                ("top",),
                ("other",),
                ("quoted key", "lite ral"),
                ("quoted key", "lite ral", 1),
                ("quoted key", "lite ral", 2, "b", "c", 1),
                ("a", "b"),
                ("a", "b", "c", "d", "e"),
                ("t", 0, "x"),
                ("t", 0, "sub", "y", "z"),
                ("t", 1),
                ("t", 1, "u", 0, "v"),
                ("t", 1, "u", 1, "v"),
                ("t", 1, "u", 1, "w"),
            ]
        } == {
            ("top",): 1,
            ("other",): 4,
            ("quoted key", "lite ral"): 6,
            ("quoted key", "lite ral", 1): 7,
            ("quoted key", "lite ral", 2, "b", "c", 1): 9,
            ("a", "b"): 11,
            ("a", "b", "c", "d", "e"): 12,
            ("t", 0, "x"): 14,
            ("t", 0, "sub", "y", "z"): 16,
            ("t", 1): 17,
            ("t", 1, "u", 0, "v"): 19,
            ("t", 1, "u", 1, "v"): 21,
            ("t", 1, "u", 1, "w"): 22,
        }
        assert len(lines) < 40
