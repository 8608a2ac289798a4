# SPDX-License-Identifier: Apache-2.0
"""Directories of node_exporter's textfile collector: `*.prom`, each in Prometheus's text format.

Programs write them (to another name first, and rename it), and nobody says when they stopped. A
file that was not written for too long is stale: its metrics are no longer there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from shmetrics import plain_file
from shmetrics.probes import prometheus_text
from shmetrics.probes.prometheus_text import BadText

if TYPE_CHECKING:
    from prometheus_client import Metric

SUFFIX = ".prom"
MOST_FILES = 1000  # of a directory


class TextFile(NamedTuple):
    """A file, as it was found.

    Attributes:
        path: its path.
        age_seconds: the time since it was written.
        families: its metrics; none if it is stale, or is not all right.
        problem: what is wrong with it, in one line; "" if nothing is.
    """

    path: str
    age_seconds: float
    families: list[Metric]
    problem: str = ""


class _Parsed(NamedTuple):
    """The families in a file, and the version of the file that they were parsed from."""

    version: tuple[int, int, int]  # inode, size in bytes, time of the last write in ns
    families: list[Metric]
    problem: str


class TextFiles:
    """The files of some directories. A file that has not changed is not parsed again."""

    def __init__(self, directories: Iterable[str], stale_seconds: float) -> None:
        """Set where they are, and after which age a file is stale."""
        self._directories = tuple(directories)
        self._stale_seconds = stale_seconds
        self._parsed: dict[str, _Parsed] = {}

    def read(self, now_seconds: float) -> tuple[list[TextFile], list[str]]:
        """Look at all files.

        Args:
            now_seconds: the time of day, in seconds since 1970.

        Returns:
            The files, by path; and what is wrong with directories, a line each.
        """
        found: list[TextFile] = []
        problems: list[str] = []
        for directory in self._directories:
            try:
                names = sorted(n for n in os.listdir(directory) if n.endswith(SUFFIX))
            except OSError as error:
                problems.append(f"{directory}: {error.strerror}")
                continue
            if len(names) > MOST_FILES:
                problems.append(f"{directory}: {len(names)} files; {MOST_FILES} of them are read")
            for name in names[:MOST_FILES]:
                file = self._look(os.path.join(directory, name), now_seconds)
                if file is not None:
                    found.append(file)
        paths = {file.path for file in found}
        self._parsed = {path: kept for path, kept in self._parsed.items() if path in paths}
        return found, problems

    def _look(self, path: str, now_seconds: float) -> TextFile | None:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None  # gone since it was listed
        except OSError as error:
            return TextFile(path, 0.0, [], f"{path}: {error.strerror}")
        age_seconds = max(now_seconds - status.st_mtime, 0.0)  # a clock may have been set back
        if age_seconds > self._stale_seconds:
            return TextFile(path, age_seconds, [], f"{path}: not written for {age_seconds:.0f} s")
        version = status.st_ino, status.st_size, status.st_mtime_ns
        kept = self._parsed.get(path)
        if kept is None or kept.version != version:
            kept = self._parsed[path] = _parse(path, version)
        return TextFile(path, age_seconds, kept.families, kept.problem)


def _parse(path: str, version: tuple[int, int, int]) -> _Parsed:
    try:
        families = prometheus_text.parse(plain_file.read(path, prometheus_text.MOST_BYTES))
    except OSError as error:
        return _Parsed(version, [], f"{path}: {error.strerror}")
    except BadText as error:
        return _Parsed(version, [], f"{path}: {error}")
    return _Parsed(version, families, "")
