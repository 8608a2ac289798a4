# SPDX-License-Identifier: Apache-2.0
"""The files of lanes: each is made whole or not at all, found again, watched, and removed.

N.lane     the lane itself, which its emitter has too
N.json     whose it is and how large: what the emitter cannot change
N.ledger   how much of what the lane says of itself is counted: nor this
N.new      a lane that is not made yet, and that no emitter has
N.broken   a lane that could not be taken up again; kept, as it may hold totals: the newest few

The collector can be killed between any two steps. A lane gets its name last, when all of it and
what belongs to it are there, and loses it first: whatever has no N.lane, and is not set aside,
holds nothing.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shmetrics import _drain, _ring
from shmetrics.collector.shares import owner_of

LANE = ".lane"
OWNER = ".json"
LEDGER = ".ledger"
NEW = ".new"
BROKEN = ".broken"
MOST_BROKEN = 8  # and those that a process still has
SLACK_BYTES = 64 * 1024  # what a file system may use for its own ends


class Sizes(NamedTuple):
    """How large the parts of a new lane are."""

    records: int = _ring.DEFAULT_RECORDS
    dictionary_bytes: int = _ring.DEFAULT_DICTIONARY_BYTES
    cells: int = _ring.DEFAULT_CELLS
    calls: int = _ring.DEFAULT_CALLS


class Owner(NamedTuple):
    """Whose lane it is, as the kernel and the process itself said."""

    process: str
    pid: int
    uid: int

    @property
    def share(self) -> int:
        """Whose share of the store it counts in."""
        return owner_of(self.uid)


class LaneFile(NamedTuple):
    """A lane on the disk. size_bytes: as it was made."""

    path: Path
    owner: Owner
    size_bytes: int

    def ledger(self) -> mmap.mmap:
        """Maps the lane's ledger. Raises OSError, or ValueError if it is not whole."""
        with self.path.with_suffix(LEDGER).open("rb+") as file:
            return mmap.mmap(file.fileno(), _drain.LEDGER_BYTES)


class LaneFiles:
    """All that is in the directory of lanes."""

    def __init__(self, directory: Path) -> None:
        """Removes what a kill has left half made."""
        self.directory = directory
        self._aside: dict[Path, int] = {}  # with their sizes
        for path in directory.glob(f"*{NEW}"):
            path.unlink()
        for suffix in (OWNER, LEDGER):
            for path in directory.glob(f"*{suffix}"):
                if not (path.with_suffix(LANE).exists() or path.with_suffix(BROKEN).exists()):
                    path.unlink()
        for path in directory.glob(f"*{BROKEN}"):
            self._aside[path] = path.stat().st_size

    @property
    def set_aside_bytes(self) -> int:
        return sum(self._aside.values())

    def __iter__(self) -> Iterator[Path]:
        """The lanes that there are, the oldest first."""
        return iter(sorted(self.directory.glob(f"*{LANE}"), key=_age))

    def create(self, lane_id: int, owner: Owner, sizes: Sizes) -> tuple[LaneFile, int]:
        """Makes a lane, every byte of it allocated; its file, and a descriptor for its emitter.

        Raises OSError. A page that is not there would kill the emitter at its first write to it.
        """
        path = self.directory / f"{lane_id}{LANE}"
        found = LaneFile(path, owner, _drain.lane_bytes(*sizes))
        try:
            path.with_suffix(OWNER).write_text(
                json.dumps({**owner._asdict(), "size_bytes": found.size_bytes})
            )
            path.with_suffix(LEDGER).write_bytes(bytes(_drain.LEDGER_BYTES))
            fd = _make(path.with_suffix(NEW), lane_id, sizes)
            try:
                path.with_suffix(NEW).rename(path)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            for suffix in (NEW, LEDGER, OWNER):
                path.with_suffix(suffix).unlink(missing_ok=True)
            raise
        return found, fd

    def read(self, path: Path) -> LaneFile:
        """What is known of a lane. Raises OSError, ValueError, TypeError or KeyError."""
        known = dict(json.loads(path.with_suffix(OWNER).read_text()))
        size_bytes = int(known.pop("size_bytes"))
        return LaneFile(path, Owner(**known), size_bytes)

    def remove(self, path: Path) -> None:
        """Removes a lane that is drained."""
        path.unlink(missing_ok=True)
        for suffix in (LEDGER, OWNER):
            path.with_suffix(suffix).unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """Keeps a lane that cannot be taken up, out of the way."""
        try:
            size_bytes = self.read(path).size_bytes
        except (OSError, ValueError, TypeError, KeyError):
            size_bytes = path.stat().st_size
        self._aside[path.rename(path.with_suffix(BROKEN))] = size_bytes

    def prune(self) -> int:
        """Removes the oldest of those set aside, where there are more than a few; how many bytes.

        Not those that a process still has: it could let them grow where nobody sees it.
        """
        broken = sorted(self._aside, key=_age)
        oldest = [path for path in broken[:-MOST_BROKEN] if not _has_process(path)]
        for path in oldest:
            self.remove(path)
        return sum(self._aside.pop(path) for path in oldest)

    def cut_back(self) -> None:
        """Takes from each file that is set aside what it is larger than it was made."""
        for path, size_bytes in self._aside.items():
            with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
                cut_back(file.fileno(), size_bytes)


def cut_back(fd: int, size_bytes: int) -> bool:
    """Takes from a lane's file what it is larger than it was made; whether it was.

    An emitter can let its own grow until there is no room for anybody.
    """
    if not _drain.has_grown(fd, size_bytes, SLACK_BYTES):
        return False
    os.ftruncate(fd, size_bytes)  # takes blocks beyond the end, too
    return True


def _has_process(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return _drain.is_held(file.fileno())
    return False


def _age(path: Path) -> tuple[int, Path]:
    """Ids count up, and so longer names are newer."""
    return len(path.stem), path


def _make(path: Path, lane_id: int, sizes: Sizes) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        size_bytes = _drain.lane_bytes(*sizes)
        os.posix_fallocate(fd, 0, size_bytes)
        with mmap.mmap(fd, size_bytes) as memory:
            _drain.lane_format(memory, lane_id, *sizes)
    except BaseException:
        os.close(fd)
        raise
    return fd
