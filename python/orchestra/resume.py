"""The file of `map(resume=path)`: what is finished is never paid twice.

    {"orchestra": "resume", "version": 1}
    {"key": "9f2c...", "reply": {...}}
    ...

One JSON object a line, the header first, then one line for each finished row. A row is found by the hash of its
canonical request, wherever it stands in the input. Each line is written with one call, so that a killed process leaves
at most one torn line, the last one; it is cut off when the file is opened again. A file of any other content is refused
and left as it is. One map at a time: the file is locked while it is open.
"""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType
from typing import Any

from .errors import ConfigError

_HEADER = b'{"orchestra": "resume", "version": 1}\n'
_VERSION = 1


class ResumeFile:
    """An open resume file. Any thread may look up and add.

    Raises:
        ConfigError: The file holds something else, was written by a newer version, is in use or cannot be opened; the
            message begins with its path. Nothing was changed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, int]] = {}  # key -> offset and length of its line
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except (OSError, ValueError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{self.path}: cannot be opened for resume: {reason}") from None
        try:
            self._take()
            self._end = self._read()
        except BaseException:
            os.close(self._file)
            self._file = -1
            raise

    def __enter__(self) -> ResumeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def lookup(self, key: str) -> dict[str, Any] | None:
        """The stored reply of this request, None when it is not finished."""
        import json

        with self._lock:
            place = self._places.get(key)
            if place is None:
                return None
            line = os.pread(self._file, place[1], place[0])
        stored: dict[str, Any] = json.loads(line)["reply"]
        return stored

    def add(self, key: str, reply: dict[str, Any]) -> None:
        """Appends a finished row; a key that is there already is not written again.

        Raises:
            OSError: The disk is full or failing; the file still ends with a whole line.
        """
        import json

        line = json.dumps({"key": key, "reply": reply}, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            if key not in self._places:
                start = self._end
                self._append(line)
                self._places[key] = (start, len(line))

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _take(self) -> None:
        import fcntl
        import stat

        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise ConfigError(f"{self.path}: is not a regular file, so it cannot hold finished rows")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{self.path}: in use by another map") from None

    def _read(self) -> int:
        """Reads all lines, drops a torn last one, and gives the offset of the end."""
        end = 0
        with os.fdopen(os.dup(self._file), "rb") as lines:
            lines.seek(0)
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    # The last one. Of a file that has no whole line yet, only a torn header is ours.
                    if number == 1 and not _HEADER.startswith(line):
                        raise self._foreign(number)
                    os.ftruncate(self._file, end)
                    break
                if number == 1:
                    self._check_header(line)
                else:
                    self._places[self._key(line, number)] = (end, len(line))
                end += len(line)
        self._end = end
        if end == 0:
            self._append(_HEADER)
        return self._end

    def _check_header(self, line: bytes) -> None:
        header = _object(line)
        if header is None or header.get("orchestra") != "resume" or not isinstance(header.get("version"), int):
            raise self._foreign(1)
        if header["version"] > _VERSION:
            raise ConfigError(f"{self.path}: written by a newer version of orchestra (format {header['version']})")

    def _key(self, line: bytes, number: int) -> str:
        row = _object(line)
        key = None if row is None else row.get("key")
        if row is None or not isinstance(key, str) or not isinstance(row.get("reply"), dict):
            raise self._foreign(number)
        return key

    def _foreign(self, number: int) -> ConfigError:
        return ConfigError(f"{self.path}:{number}: not a file of finished rows; it was left as it is")

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)


def _object(line: bytes) -> dict[str, Any] | None:
    import json

    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
