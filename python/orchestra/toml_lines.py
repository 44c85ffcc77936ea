"""Where the keys of a TOML text stand: tomllib reads values and tells no lines, so this reads lines and no values.

The text must be valid TOML (tomllib has read it before); what is not needed to find keys is skipped.
"""

from __future__ import annotations

Path = tuple[str | int, ...]  # ("provider", 0, "headers", "X-A")

_BLANK = " \t"
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


def find_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every key, table and element of an array."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}  # elements so far of each [[table]]

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._skip_space()
            if self._at >= len(self._text):
                return self._lines
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _advance(self, count: int = 1) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _skip_blank(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _BLANK:
            self._at += 1

    def _skip_space(self) -> None:
        """Blanks, line ends and comments."""
        while self._at < len(self._text):
            if self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._peek() in " \t\r\n":
                self._advance()
            else:
                return

    def _mark(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)

    def _header(self) -> Path:
        line = self._line
        is_array = self._peek(2) == "[["
        self._advance(2 if is_array else 1)
        path: Path = ()
        names = self._dotted_key()
        for place, name in enumerate(names):
            path = (*path, name)
            is_last = place == len(names) - 1
            if is_array and is_last:
                self._mark(path, line)
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:  # what follows belongs to its last element
                path = (*path, self._tables[path] - 1)
        self._mark(path, line)
        self._advance(2 if is_array else 1)
        return path

    def _dotted_key(self) -> list[str]:
        names = []
        while True:
            self._skip_blank()
            names.append(self._key())
            self._skip_blank()
            if self._peek() != ".":
                return names
            self._advance()

    def _key(self) -> str:
        if self._peek() in ('"', "'"):
            return self._string()
        start = self._at
        while self._at < len(self._text) and (self._text[self._at].isalnum() or self._text[self._at] in "_-"):
            self._at += 1
        if self._at == start:  # no TOML: go on rather than stand still
            self._at += 1
        return self._text[start : self._at]

    def _pair(self, table: Path) -> None:
        line = self._line
        path = (*table, *self._dotted_key())
        self._mark(path, line)
        self._advance()  # =
        self._skip_blank()
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self._peek()
        if first in ('"', "'"):
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self._at < len(self._text) and self._text[self._at] not in ",]}#\r\n":
                self._at += 1

    def _array(self, path: Path) -> None:
        self._advance()
        index = 0
        while self._at < len(self._text):
            self._skip_space()
            if self._peek() == "]":
                break
            if self._peek() == ",":
                self._advance()
                continue
            self._mark((*path, index), self._line)
            self._value((*path, index))
            index += 1
        self._advance()

    def _inline_table(self, path: Path) -> None:
        self._advance()
        while self._at < len(self._text):
            self._skip_space()
            if self._peek() == "}":
                break
            if self._peek() == ",":
                self._advance()
                continue
            self._pair(path)
        self._advance()

    def _string(self) -> str:
        """Skips a string of any of the four kinds; its text, which only keys (of one line) need."""
        mark = self._peek(3) if self._peek(3) in ('"""', "'''") else self._peek()
        self._advance(len(mark))
        text = ""
        while self._at < len(self._text):
            if mark[0] == '"' and self._peek() == "\\":
                text += self._escape()
            elif self._peek(len(mark)) == mark:
                self._advance(len(mark))
                while len(mark) == 3 and self._peek() == mark[0]:  # quotes just before the closing ones
                    self._advance()
                break
            else:
                text += self._peek()
                self._advance()
        return text

    def _escape(self) -> str:
        kind = self._text[self._at + 1 : self._at + 2]
        digits = {"x": 2, "u": 4, "U": 8}.get(kind, 0)
        code = self._text[self._at + 2 : self._at + 2 + digits]
        self._advance(2 + digits)
        try:
            return chr(int(code, 16)) if digits else _ESCAPES.get(kind, "")
        except (ValueError, OverflowError):
            return ""
