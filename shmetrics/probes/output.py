# SPDX-License-Identifier: Apache-2.0
"""The output of a program, as lines, within bounds. No I/O here.

A program of a stranger may print anything: without end, without a newline, NULs, a million lines.
What is out of bounds is counted by its reason, and not kept:

    long        a line of more bytes than may be
    control     a line with a NUL or another control character in it, but for a tab
    not_utf8    a line that is not UTF-8
    incomplete  the last line of a program that was ended before its newline
    beyond      all that comes after more lines or bytes than may be, as one: the run is ended
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_MOST_SHOWN = 200  # characters of a line of STDERR


class Bounds(NamedTuple):
    """The bounds of the output of a run.

    Attributes:
        line_bytes: the longest line, without its newline.
        lines: the most lines, empty ones too.
        total_bytes: the most bytes of all lines together.
        error_bytes: the most bytes of STDERR that are read.
    """

    line_bytes: int = 2000
    lines: int = 5000
    total_bytes: int = 1024 * 1024
    error_bytes: int = 64 * 1024


class Output:
    """The STDOUT of a run.

    Attributes:
        rejected: the number of lines that were not taken, by reason.
        is_full: more has come than may be; nothing more is taken.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.rejected: Counter[str] = Counter()
        self.is_full = False
        self._bounds = bounds
        self._begun = b""  # of a line whose newline has not come
        self._is_long = False  # that line is too long already
        self._lines = 0
        self._bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what has come, and return the lines that are complete by that, without newlines."""
        if self.is_full:
            return []
        room = self._bounds.total_bytes - self._bytes
        self._bytes += len(data)
        *complete, rest = (self._begun + data[:room]).split(b"\n")
        taken = self._taken(complete)
        self._begun = rest[: self._bounds.line_bytes + 1]
        if len(rest) > self._bounds.line_bytes:
            self._is_long = True
        if len(data) > room:
            self._fill()
        if self.is_full:
            self._begun = b""
        return taken

    def end(self, was_ended: bool) -> list[bytes]:
        """Return the last line, if it has no newline and the program ended by itself."""
        last, self._begun = self._begun, b""
        if not last:
            return []
        if was_ended:
            self.rejected["incomplete"] += 1
            return []
        return self._taken([last])

    def _fill(self) -> None:
        if not self.is_full:
            self.is_full = True
            self.rejected["beyond"] += 1

    def _taken(self, complete: list[bytes]) -> list[bytes]:
        taken = []
        for line in complete:
            self._lines += 1
            if self._lines > self._bounds.lines:
                self._fill()
                break
            is_long, self._is_long = self._is_long, False
            line = line.removesuffix(b"\r")
            if is_long or len(line) > self._bounds.line_bytes:
                self.rejected["long"] += 1
            elif _CONTROL.search(line):
                self.rejected["control"] += 1
            elif not _is_utf8(line):
                self.rejected["not_utf8"] += 1
            elif line:
                taken.append(line)
        return taken


class Errors:
    """The STDERR of a run, of which the last line is kept.

    Attributes:
        is_full: as much has been read as may be.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.is_full = False
        self._left_bytes = bounds.error_bytes
        self._end = b""

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._left_bytes -= len(data)
        self.is_full = self._left_bytes <= 0
        whole = self._end + data
        # From the newline before the last line that is not empty, which is far enough back.
        start = whole.rstrip().rfind(b"\n") + 1
        self._end = whole[start : start + 4 * _MOST_SHOWN]

    def last_line(self) -> str:
        """Return the last line that is not empty, printable, and cut short."""
        text = self._end.decode("utf-8", "replace").strip()
        cut = text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
        return "".join(c if c.isprintable() else "?" for c in cut)


def _is_utf8(line: bytes) -> bool:
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
