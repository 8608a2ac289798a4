# SPDX-License-Identifier: Apache-2.0
"""The lines in the logs of a service that are ours, and those that are errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["errors_in", "loggers_of", "ours_in"]

Logs = Mapping[str, str]

#: A line of our loggers, in the format of oslo.log.
OURS: Final = re.compile(r" (WARNING|ERROR|CRITICAL) shmetrics")
FRAME: Final = re.compile(r'File "(?P<path>[^"]+)", line \d+')
RAISED_WITHIN = 4  # lines between a frame and the exception that it raised


def ours_in(logs: Logs) -> list[str]:
    """Return the lines that our loggers wrote, and the frames of our code that raised."""
    lines = list(_lines(logs))
    return [line for line in lines if OURS.search(line)] + list(_raised(lines))


def errors_in(logs: Logs) -> list[str]:
    """Return the lines of errors, of which a traceback has many."""
    return [line for line in _lines(logs) if " ERROR " in line]


def loggers_of(errors: list[str]) -> set[str]:
    """Return the loggers that wrote these lines."""
    return {line.split(" ERROR ")[1].split()[0] for line in errors}


def _raised(lines: list[str]) -> Iterator[str]:
    """Yield the innermost frames of tracebacks that are in our code.

    What a service's own call raises passes through frames of ours, and is no fault of theirs.
    """
    for at, line in enumerate(lines):
        found = FRAME.search(line)
        if found and "shmetrics/" in found["path"]:
            following = lines[at + 1 : at + 1 + RAISED_WITHIN]
            if not any(FRAME.search(each) for each in following):
                yield line


def _lines(logs: Logs) -> Iterator[str]:
    for name, text in logs.items():
        if name != "collector":
            yield from text.splitlines()
