# SPDX-License-Identifier: Apache-2.0
"""The files of lanes: each is made whole or not at all, found again, watched, and removed.

N.lane     the lane itself, which its emitter has too
N.json     whose it is, how large, and by which clock: what the emitter cannot change
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
from shmetrics.rate_limited_log import RateLimitedLog, shown
from shmetrics.registration.protocol import NAME_MAX_BYTES
from shmetrics.store.shares import owner_of

log = logging.getLogger(__name__)

LANE = ".lane"
OWNER = ".json"
LEDGER = ".ledger"
NEW = ".new"
BROKEN = ".broken"
MOST_BROKEN = 8  # and those that a process still has
MOST_TRIED = 64  # of what could not be removed, at once
MAX_OWNER_BYTES = 4096
SLACK_BYTES = 64 * 1024  # what a file system may use for its own ends

# Ids count up from 1, and 200 lanes a second would take 150,000 years to more digits.
_OURS = re.compile(r"[1-9][0-9]{0,14}\.(lane|json|ledger|new|broken)")


class Sizes(NamedTuple):
    """How large the parts of a new lane are."""

    records: int = layout.DEFAULT_RECORDS
    dictionary_bytes: int = layout.DEFAULT_DICTIONARY_BYTES
    cells: int = layout.DEFAULT_CELLS
    calls: int = layout.DEFAULT_CALLS


class Owner(NamedTuple):
    """Whose lane it is, as the kernel and the process itself said."""

    process: str
    pid: int
    uid: int

    @property
    def store_owner(self) -> int:
        """Whose share of the store it counts in."""
        return owner_of(self.uid)


class LaneFile(NamedTuple):
    """A lane on the disk. size_bytes: as it was made. clock: of its boot, see boot.clock."""

    path: Path
    owner: Owner
    size_bytes: int
    clock: bytes

    def ledger(self) -> mmap.mmap:
        """Maps the lane's ledger. Raises OSError, or ValueError if it is not whole."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.path.with_suffix(LEDGER), flags)
        try:
            return mmap.mmap(fd, _drain.LEDGER_BYTES)
        finally:
            os.close(fd)


class _Known(msgspec.Struct):
    """What N.json says."""

    process: Annotated[str, Meta(max_length=NAME_MAX_BYTES)]
    pid: Annotated[int, Meta(ge=0)]
    uid: Annotated[int, Meta(ge=0, lt=2**32)]
    size_bytes: Annotated[int, Meta(ge=0, lt=2**48)]
    clock: Annotated[str, Meta(max_length=64)] = ""  # older ones do not say


class _UndrainedFile(NamedTuple):
    """A file that is no lane of ours now: how large it was made, and whose it is if we know."""

    size_bytes: int
    uid: int | None


class LaneFiles:
    """All that is in the directory of lanes.

    What cannot be removed is said once, and tried again; what is not ours is left alone. Neither
    keeps a collector from its work.
    """

    def __init__(self, directory: Path, clock: bytes) -> None:
        """Removes what a kill has left half made. clock: of lanes that are made from now on."""
        self.directory = directory
        self._rate_limited = RateLimitedLog(log)
        self._clock = clock
        self._aside: dict[Path, _UndrainedFile] = {}
        self._waiting: dict[Path, _UndrainedFile] = {}  # lanes that cannot be opened yet
        self._stuck: dict[Path, int] = {}  # what could not be removed, with what it takes
        found = self._scan()
        self.highest_id = max((int(path.stem) for path in found), default=0)
        for path in found:
            if path.suffix == NEW:
                self.remove(path)
            elif path.suffix == BROKEN:
                with contextlib.suppress(FileNotFoundError):  # removed in this moment
                    self._aside[path] = self._undrained_file(path)
            elif path.suffix in (OWNER, LEDGER) and found.isdisjoint(
                (path.with_suffix(LANE), path.with_suffix(BROKEN))
            ):
                self.remove(path)

    def _scan(self) -> set[Path]:
        """The files that can be ours. Says what else is there."""
        found, strays = set(), []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    found.add(self.directory / entry.name)
                else:
                    strays.append(entry.name)
        if strays:
            one = shown(repr(min(strays)), 100)
            log.warning("%s: %d entries are no lanes, as %s; remove them",
                        self.directory, len(strays), one)  # fmt: skip
        return found

    def obstacle(self, size_bytes: int) -> str:
        """What keeps a lane of this size from being made; "" if nothing that can be seen."""
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
        """What is known of a file. Its emitter may have made it larger: N.json says how large it is
        to be. Raises OSError if it is gone."""
        try:
            known = self.read(path)
            return _UndrainedFile(known.size_bytes, known.owner.uid)
        except (OSError, ValueError):
            return _UndrainedFile(path.stat().st_size, None)

    def undrained(self) -> UndrainedFiles:
        """What takes room, and is no lane that is drained."""
        kept = [*self._aside.items(), *self._waiting.items()]
        return UndrainedFiles(
            sum(one.size_bytes for _, one in kept) + sum(self._stuck.values()),
            Counter(
                one.uid
                for path, one in kept
                if one.uid is not None and (path in self._waiting or _has_process(path))
            ),
        )

    def wait(self, path: Path) -> bool:
        """Keeps a lane for later, that cannot be opened now. Whether it did not wait before. Raises
        OSError if it is gone."""
        is_new = path not in self._waiting
        self._waiting[path] = self._undrained_file(path)
        return is_new

    def take_waiting(self) -> list[Path]:
        """Some of those that wait, to be tried again: they wait no more."""
        found = list(self._waiting)[:MOST_TRIED]
        for path in found:
            del self._waiting[path]
        return found

    def __iter__(self) -> Iterator[Path]:
        """The lanes that there are, the oldest first."""
        return iter(sorted((path for path in self._scan() if path.suffix == LANE), key=_age))

    def create(self, lane_id: int, owner: Owner, sizes: Sizes) -> tuple[LaneFile, int]:
        """Makes a lane, every byte of it allocated; its file, and a descriptor for its emitter.

        Raises OSError. A page that is not there would kill the emitter at its first write to it.
        """
        path = self.directory / f"{lane_id}{LANE}"
        found = LaneFile(path, owner, layout.lane_bytes(*sizes), self._clock)
        known = {"size_bytes": found.size_bytes, "clock": found.clock.hex()}
        try:
            path.with_suffix(OWNER).write_text(json.dumps({**owner._asdict(), **known}))
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
        """What is known of a lane. Raises OSError or ValueError."""
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
        owner = Owner(known.process, known.pid, known.uid)
        clock = bytes.fromhex(known.clock) if known.clock else self._clock
        return LaneFile(path, owner, known.size_bytes, clock)

    def remove(self, path: Path, size_bytes: int = 0) -> None:
        """Removes a lane that is drained, of so many bytes. As long as it cannot be removed, its
        N.json says whose it is, and its ledger what is counted: whoever meets it finds nothing more
        in it."""
        parts = [path]
        if path.suffix in (LANE, BROKEN):
            parts += [path.with_suffix(LEDGER), path.with_suffix(OWNER)]
        try:
            for part in parts:
                part.unlink(missing_ok=True)
        except OSError as error:
            if self._stuck.pop(path, None) is None:
                self._rate_limited.warning(
                    part.name, f"{part} cannot be removed, and is tried again: {error.strerror}"
                )
            self._stuck[path] = size_bytes if part == path else 0  # behind the others
            return
        self._stuck.pop(path, None)

    def set_aside(self, path: Path) -> bool:
        """Keeps a lane that cannot be taken up, out of the way, and tells its emitter to register
        anew: nobody reads what it records there. Whether it could be moved."""
        try:
            kept = self._undrained_file(path)
            _give_up(path)
            self._aside[path.rename(path.with_suffix(BROKEN))] = kept
        except FileNotFoundError:  # somebody has removed it
            return False
        except OSError as error:
            self._aside[path] = kept
            self._rate_limited.warning(path.name, f"{path} cannot be set aside: {error.strerror}")
            return False
        return True

    def prune(self) -> None:
        """Removes the oldest of those set aside, where there are more than a few, and tries again
        what could not be removed.

        Not those that a process still has: it could let them grow where nobody sees it.
        """
        broken = sorted(self._aside, key=_age)
        for path in broken[:-MOST_BROKEN]:
            if not _has_process(path):
                self.remove(path, self._aside.pop(path).size_bytes)
        for path, size_bytes in list(self._stuck.items())[:MOST_TRIED]:
            self.remove(path, size_bytes)

    def cut_back(self) -> None:
        """Takes from each file that is no lane of ours now what it is larger than it was made."""
        for path, kept in (*self._aside.items(), *self._waiting.items()):
            with contextlib.suppress(OSError), path.open("rb+") as file:
                cut_back(file.fileno(), kept.size_bytes)


def _give_up(path: Path) -> None:
    """Writes into a lane that nobody drains it any more. Its emitter may have cut it short."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(fd).st_size >= layout.HEADER_BYTES:
                os.pwrite(fd, layout.LANE_CLOSED.to_bytes(4, sys.byteorder), layout.LANE_STATE_AT)
        finally:
            os.close(fd)


def cut_back(fd: int, size_bytes: int) -> bool:
    """Takes from a lane's file what it is larger than it was made; whether it was.

    An emitter can let its own grow until there is no room for anybody.
    """
    if not _drain.has_grown(fd, size_bytes, SLACK_BYTES):
        return False
    os.ftruncate(fd, size_bytes)  # takes blocks beyond the end, too
    return True


def _has_process(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _drain.is_held(file.fileno())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # as far as anybody can say


def _age(path: Path) -> tuple[int, Path]:
    """Ids count up, and so longer names are newer."""
    return len(path.stem), path


def _make(path: Path, lane_id: int, sizes: Sizes) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        size_bytes = layout.lane_bytes(*sizes)
        os.posix_fallocate(fd, 0, size_bytes)
        with mmap.mmap(fd, size_bytes) as memory:
            _drain.lane_format(memory, lane_id, *sizes)
    except BaseException:
        os.close(fd)
        raise
    return fd
