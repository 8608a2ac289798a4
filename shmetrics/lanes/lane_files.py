# SPDX-License-Identifier: Apache-2.0
"""The files of lanes: each lane is made whole or not at all, found again, watched, and removed.

N.lane     the lane itself, which its emitter maps too
N.json     the lane's owner, its size and its clock, where the emitter cannot change them
N.ledger   how much of the lane's own counters the store has; the emitter cannot change it either
N.kept     series of the process's earlier lanes, which it has not used since
N.new      a lane that is not finished yet, and that no emitter has
N.broken   a lane that could not be opened again; the newest few are kept, as they may hold totals

The collector can be killed between any two steps. A lane gets its name last, when the lane and the
files that belong to it are whole, and loses it first. So a file without an N.lane beside it, which
is not set aside, holds nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from shmetrics import layout
from shmetrics.lanes import _drain
from shmetrics.lanes.lane_quota import UndrainedFiles
from shmetrics.lanes.pids import pid_label
from shmetrics.rate_limited_log import RateLimitedLog, shown
from shmetrics.registration.protocol import NAME_MAX_BYTES
from shmetrics.store.shares import owner_of

log = logging.getLogger(__name__)

LANE = ".lane"
OWNER = ".json"
LEDGER = ".ledger"
KEPT = ".kept"
NEW = ".new"
BROKEN = ".broken"
MOST_BROKEN = 8  # kept, beside those that a process still holds
MOST_TRIED = 64  # files that are tried again in one tick
MAX_OWNER_BYTES = 4096
SLACK_BYTES = 64 * 1024  # that a file system may take beyond the size of a file

# Ids count up from 1, and 200 lanes a second would take 150,000 years to more digits.
_OURS = re.compile(r"[1-9][0-9]{0,14}\.(lane|json|ledger|kept|new|broken)")


class Sizes(NamedTuple):
    """The sizes of the parts of a new lane.

    Attributes:
        records: the slots of the ring, a power of two.
        dictionary_bytes: the room for definitions.
        cells: the 8-byte cells for totals.
        calls: the slots for open calls.
    """

    records: int = layout.DEFAULT_RECORDS
    dictionary_bytes: int = layout.DEFAULT_DICTIONARY_BYTES
    cells: int = layout.DEFAULT_CELLS
    calls: int = layout.DEFAULT_CALLS


class Owner(NamedTuple):
    """The process that a lane belongs to.

    Attributes:
        process: its name, as it said.
        pid: its number, as the kernel said; 0 if the collector cannot see it.
        uid: its user, as the kernel said.
        pid_label: the value of the label `pid` of its gauges. No two processes have the same.
    """

    process: str
    pid: int
    uid: int
    pid_label: str

    @property
    def text(self) -> str:
        """Return the process as people are told of it."""
        return f"{self.process} (pid {self.pid_label})"

    @property
    def store_owner(self) -> int:
        """Return the owner that the store counts this lane's series for, see store/shares.py."""
        return owner_of(self.uid)


class LaneFile(NamedTuple):
    """A lane on the disk.

    Attributes:
        path: the lane's file, N.lane.
        owner: the process that the lane belongs to.
        size_bytes: the size with which the file was made.
        clock: the name of the monotonic clock that its stamps are of, see boot.clock().
        predecessor: the id of the lane that it replaces; 0: none.
        first: the id of the first lane of its process, which stands for the process; 0: this one.
    """

    path: Path
    owner: Owner
    size_bytes: int
    clock: bytes
    predecessor: int = 0
    first: int = 0

    def ledger(self) -> mmap.mmap:
        """Map the lane's ledger.

        Raises:
            OSError: it cannot be opened.
            ValueError: it is shorter than a ledger.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.path.with_suffix(LEDGER), flags)
        try:
            return mmap.mmap(fd, _drain.LEDGER_BYTES)
        finally:
            os.close(fd)


class _Known(msgspec.Struct):
    """The content of N.json."""

    process: Annotated[str, Meta(max_length=NAME_MAX_BYTES)]
    pid: Annotated[int, Meta(ge=0)]
    uid: Annotated[int, Meta(ge=0, lt=2**32)]
    size_bytes: Annotated[int, Meta(ge=0, lt=2**48)]
    pid_label: Annotated[str, Meta(max_length=64)] = ""  # files of older versions have none
    clock: Annotated[str, Meta(max_length=64)] = ""  # files of older versions have none
    predecessor: Annotated[int, Meta(ge=0, lt=2**48)] = 0
    first: Annotated[int, Meta(ge=0, lt=2**48)] = 0


class _UndrainedFile(NamedTuple):
    """A file that takes room and is not drained.

    Attributes:
        size_bytes: the size with which it was made.
        uid: the user of its process, if N.json tells.
    """

    size_bytes: int
    uid: int | None


class LaneFiles:
    """All files in the directory of lanes.

    A file that cannot be removed is logged once, and tried again. A file that is not a lane's is
    left alone. Neither keeps a collector from its work.
    """

    def __init__(self, directory: Path, clock: bytes) -> None:
        """Remove what a kill has left half made.

        Args:
            directory: the directory of lanes.
            clock: the name of the clock for new lanes, see boot.clock().
        """
        self.directory = directory
        self._rate_limited = RateLimitedLog(log)
        self._clock = clock
        self._aside: dict[Path, _UndrainedFile] = {}
        self._waiting: dict[Path, _UndrainedFile] = {}  # lanes that cannot be opened yet
        self._stuck: dict[Path, int] = {}  # files that could not be removed, and their bytes
        paths = self._scan()
        self.highest_id = max((int(path.stem) for path in paths), default=0)
        for path in paths:
            if path.suffix == NEW:
                self.remove(path)
            elif path.suffix == BROKEN:
                with contextlib.suppress(FileNotFoundError):  # removed since the scan
                    self._aside[path] = self._undrained_file(path)
            elif path.suffix in (OWNER, LEDGER, KEPT) and paths.isdisjoint(
                (path.with_suffix(LANE), path.with_suffix(BROKEN))
            ):
                self.remove(path)

    def _scan(self) -> set[Path]:
        """Return the paths of files that have a lane file's name, and log the other entries."""
        paths, strays = set(), []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    paths.add(self.directory / entry.name)
                else:
                    strays.append(entry.name)
        if strays:
            example = shown(repr(min(strays)), 100)
            log.warning("%s: %d entries are no lanes, as %s; remove them",
                        self.directory, len(strays), example)  # fmt: skip
        return paths

    def obstacle(self, size_bytes: int) -> str:
        """Return the reason why no lane of this size can be made, or "" if none can be seen."""
        try:
            status = os.statvfs(self.directory)
        except OSError as error:
            return f"{self.directory}: {error.strerror}"
        if not os.access(self.directory, os.W_OK | os.X_OK):
            return f"{self.directory}: no file can be made there"
        if status.f_bavail * status.f_frsize < size_bytes:
            return f"{self.directory}: no room for a lane; free some"
        return ""

    def _undrained_file(self, path: Path) -> _UndrainedFile:
        """Return the size and the user of a file.

        The size is that in N.json, because an emitter may have made its file larger; without N.json
        it is the file's own.

        Raises:
            OSError: the file is gone.
        """
        try:
            known = self.read(path)
            return _UndrainedFile(known.size_bytes, known.owner.uid)
        except (OSError, ValueError):
            return _UndrainedFile(path.stat().st_size, None)

    def undrained(self) -> UndrainedFiles:
        """Return the room that files take which are not drained."""
        files = [*self._aside.items(), *self._waiting.items()]
        return UndrainedFiles(
            sum(file.size_bytes for _, file in files) + sum(self._stuck.values()),
            Counter(
                file.uid
                for path, file in files
                if file.uid is not None and (path in self._waiting or _has_process(path))
            ),
        )

    def wait(self, path: Path) -> bool:
        """Keep a lane that cannot be opened now, to try it again later.

        Returns:
            Whether the lane was not waiting before.

        Raises:
            OSError: the file is gone.
        """
        is_new = path not in self._waiting
        self._waiting[path] = self._undrained_file(path)
        return is_new

    def take_waiting(self) -> list[Path]:
        """Return some of the waiting lanes, to be tried again; they wait no more."""
        paths = list(self._waiting)[:MOST_TRIED]
        for path in paths:
            del self._waiting[path]
        return paths

    def __iter__(self) -> Iterator[Path]:
        """Iterate over the lanes' paths, the oldest first."""
        return iter(sorted((path for path in self._scan() if path.suffix == LANE), key=_age))

    def create(
        self, lane_id: int, owner: Owner, sizes: Sizes, predecessor: int = 0, first: int = 0
    ) -> tuple[LaneFile, int]:
        """Make a lane, with every byte of it allocated on the disk.

        An unallocated page of a full disk would kill the emitter at its first write to it.

        Args:
            lane_id: a number that no lane has had.
            owner: the process that gets the lane.
            sizes: the sizes of its parts.
            predecessor: the id of the lane that it replaces; 0: none.
            first: the id of the first lane of the process; 0: this one.

        Returns:
            The lane's file, and an open descriptor for its emitter.

        Raises:
            OSError: there is no room, or the files cannot be made; then nothing is left.
        """
        path = self.directory / f"{lane_id}{LANE}"
        size_bytes = layout.lane_bytes(*sizes)
        file = LaneFile(path, owner, size_bytes, self._clock, predecessor, first)
        known: dict[str, object] = {"size_bytes": size_bytes, "clock": file.clock.hex()}
        if predecessor:
            known |= {"predecessor": predecessor, "first": first}
        try:
            path.with_suffix(OWNER).write_text(json.dumps({**owner._asdict(), **known}))
            path.with_suffix(LEDGER).write_bytes(bytes(_drain.LEDGER_BYTES))
            fd = _make(path.with_suffix(NEW), lane_id, sizes, predecessor)
            try:
                path.with_suffix(NEW).rename(path)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            for suffix in (NEW, LEDGER, OWNER):
                path.with_suffix(suffix).unlink(missing_ok=True)
            raise
        return file, fd

    def read(self, path: Path) -> LaneFile:
        """Read what N.json says about a lane.

        Raises:
            OSError: N.json cannot be read.
            ValueError: N.json is damaged.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(path.with_suffix(OWNER), flags)
        try:
            text = os.read(fd, MAX_OWNER_BYTES)
        finally:
            os.close(fd)
        try:
            known = msgspec.json.decode(text, type=_Known)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None
        label = known.pid_label or pid_label(known.pid, known.first or int(path.stem))
        owner = Owner(known.process, known.pid, known.uid, label)
        clock = bytes.fromhex(known.clock) if known.clock else self._clock
        return LaneFile(path, owner, known.size_bytes, clock, known.predecessor, known.first)

    def keep(self, path: Path, left: dict[int, list[tuple[str, ...]]]) -> None:
        """Write down the series that the process of a lane has left behind.

        Without room for that, a later collector does not know them.

        Args:
            path: the lane's file.
            left: their label values, by the number of their family in the store.
        """
        if not left and not path.with_suffix(KEPT).exists():
            return
        new = path.with_suffix(NEW)
        try:
            new.write_bytes(msgspec.json.encode(left))
            new.rename(path.with_suffix(KEPT))
        except OSError as error:
            self._rate_limited.warning(KEPT, f"{new} cannot be written: {error.strerror}")
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)

    def kept(self, path: Path) -> dict[int, list[tuple[str, ...]]]:
        """Return what keep() has written down about a lane."""
        kept = path.with_suffix(KEPT)
        try:
            return msgspec.json.decode(kept.read_bytes(), type=dict[int, list[tuple[str, ...]]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            self._rate_limited.warning(kept.name, f"{kept} cannot be read: {error}")
            return {}

    def remove(self, path: Path, size_bytes: int = 0) -> None:
        """Remove a lane's files, or one file of another kind.

        If the lane's own file cannot be removed, N.json and the ledger stay as well. Then a
        collector that opens the lane again finds its owner, and nothing to count twice.

        Args:
            path: the file.
            size_bytes: the room that a drained lane takes.
        """
        parts = [path]
        if path.suffix in (LANE, BROKEN):
            parts += [path.with_suffix(suffix) for suffix in (KEPT, LEDGER, OWNER)]
        try:
            for part in parts:
                part.unlink(missing_ok=True)
        except OSError as error:
            if self._stuck.pop(path, None) is None:
                self._rate_limited.warning(
                    part.name, f"{part} cannot be removed, and is tried again: {error.strerror}"
                )
            self._stuck[path] = size_bytes if part == path else 0  # tried after the others
            return
        self._stuck.pop(path, None)

    def set_aside(self, path: Path) -> bool:
        """Rename a lane that cannot be opened to N.broken.

        Its emitter is told to register again, because nobody reads what it records there.

        Returns:
            Whether the file could be renamed.
        """
        try:
            undrained = self._undrained_file(path)
            _give_up(path)
            self._aside[path.rename(path.with_suffix(BROKEN))] = undrained
        except FileNotFoundError:  # removed by another program
            return False
        except OSError as error:
            self._aside[path] = undrained
            self._rate_limited.warning(path.name, f"{path} cannot be set aside: {error.strerror}")
            return False
        return True

    def prune(self) -> None:
        """Remove the oldest of the lanes set aside, and try again what could not be removed before.

        `MOST_BROKEN` of them stay, and those that a process still holds: without a name, such a
        file could grow where nobody sees it.
        """
        broken = sorted(self._aside, key=_age)
        for path in broken[:-MOST_BROKEN]:
            if not _has_process(path):
                self.remove(path, self._aside.pop(path).size_bytes)
        for path, size_bytes in list(self._stuck.items())[:MOST_TRIED]:
            self.remove(path, size_bytes)

    def cut_back(self) -> None:
        """Cut every undrained file back to the size with which it was made."""
        for path, undrained in (*self._aside.items(), *self._waiting.items()):
            with contextlib.suppress(OSError), path.open("rb+") as file:
                cut_back(file.fileno(), undrained.size_bytes)


def _give_up(path: Path) -> None:
    """Mark a lane as closed, so that its emitter registers again.

    The emitter may have cut the file short.
    """
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(fd).st_size >= layout.HEADER_BYTES:
                os.pwrite(fd, layout.LANE_CLOSED.to_bytes(4, sys.byteorder), layout.LANE_STATE_AT)
        finally:
            os.close(fd)


def cut_back(fd: int, size_bytes: int) -> bool:
    """Cut a lane's file back to the size with which it was made; return whether it was larger.

    An emitter can let its file grow until the file system is full for everybody.

    Raises:
        OSError: the file cannot be examined or cut.
    """
    if not _drain.has_grown(fd, size_bytes, SLACK_BYTES):
        return False
    os.ftruncate(fd, size_bytes)  # also frees blocks beyond the end
    return True


def _has_process(path: Path) -> bool:
    """Return whether a process holds the lane's file; True if the kernel does not answer."""
    try:
        with path.open("rb") as file:
            return _drain.is_held(file.fileno())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # unknown: treat it as held


def _age(path: Path) -> tuple[int, Path]:
    """Return a key that sorts lanes by age: ids count up, so longer names are newer."""
    return len(path.stem), path


def _make(path: Path, lane_id: int, sizes: Sizes, predecessor: int) -> int:
    """Make a formatted lane file with every byte allocated; return its descriptor.

    Raises OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        size_bytes = layout.lane_bytes(*sizes)
        os.posix_fallocate(fd, 0, size_bytes)
        with mmap.mmap(fd, size_bytes) as memory:
            _drain.lane_format(memory, lane_id, *sizes, predecessor)
    except BaseException:
        os.close(fd)
        raise
    return fd
