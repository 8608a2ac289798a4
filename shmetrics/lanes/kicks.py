# SPDX-License-Identifier: Apache-2.0
"""Kicks: an emitter whose ring is half full wakes the collector by modifying its lane's file.

The kernel reports the modification through inotify (csrc/emit/kick.h, csrc/drain/watch.h), and
nothing else that an emitter does. An emitter can kick without end. So all lanes together may take
half of the loop's time, and a lane that kicks for nothing again and again is not watched any more:
ticks find its records.

Emitters that registered in protocol 1 kick by writing to an eventfd. They hold the same descriptor
as the collector, and can fill it up, read it empty or make it blocking. So the collector reads
nothing from it: an edge-triggered epoll reports every write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
from collections.abc import Callable
from pathlib import Path

from shmetrics.lanes import _drain
from shmetrics.rate_limited_log import RateLimitedLog

BATCH = 64  # descriptors handled in one round
PAUSE_SECONDS = 0.001  # the shortest pause between rounds
MAX_IDLE = 100  # kicks for nothing in a row

log = logging.getLogger(__name__)

Heed = Callable[[bool], None]  # called with False if it is not certain that there was a kick


class Kicks:
    """Wakes the collector when an emitter asks for it.

    This class is the default, which never does.
    """

    def watch(self, path: Path, heed: Heed) -> int | None:
        """Call `heed` after a file is modified.

        Args:
            path: the lane's file.
            heed: called with True after a modification, and with False if there may have been one.

        Returns:
            The number of the watch, or None if the file cannot be watched.
        """
        return None

    def watch_eventfd(self, fd: int, heed: Heed) -> None:
        """Call `heed` with True after the eventfd is written to."""

    def forget(self, watch: int) -> None:
        """Stop watching the file with this watch number."""

    def forget_eventfd(self, fd: int) -> None:
        """Stop watching an eventfd."""

    def close(self) -> None:
        """Stop watching everything."""


class LoopKicks(Kicks):
    """Kicks that an asyncio loop handles, in rounds.

    Each round is followed by a pause of its own length.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the watches.

        Raises:
            OSError: this system has no more inotify instances, or no more files may be open.
        """
        self._loop = loop
        self._files: dict[int, Heed] = {}
        self._eventfds: dict[int, Heed] = {}
        self._resting: asyncio.TimerHandle | None = None
        self._rate_limited = RateLimitedLog(log)
        self._watches = _drain.watch_open()
        try:
            self._epoll = select.epoll()
        except OSError:
            os.close(self._watches)
            raise
        self._epoll.register(self._watches, select.EPOLLIN)
        self._listen()

    def watch(self, path: Path, heed: Heed) -> int | None:
        try:
            watch = _drain.watch_add(self._watches, os.fsencode(path))
        except OSError as error:
            self._rate_limited.warning(
                "watch",
                f"{path}: cannot be watched ({error.strerror}), and is drained at ticks only; "
                "see fs.inotify.max_user_watches",
            )
            return None
        self._files[watch] = heed
        return watch

    def watch_eventfd(self, fd: int, heed: Heed) -> None:
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        self._eventfds[fd] = heed

    def forget(self, watch: int) -> None:
        if self._files.pop(watch, None) is not None:
            with contextlib.suppress(OSError):  # the kernel drops a watch with its file
                _drain.watch_remove(self._watches, watch)

    def forget_eventfd(self, fd: int) -> None:
        if self._eventfds.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        os.close(self._watches)

    def _listen(self) -> None:
        """Let the loop begin a round when a kick comes."""
        self._loop.add_reader(self._epoll.fileno(), self._round)

    def _round(self) -> None:
        """Handle the kicks that are there, and rest for as long as that took."""
        began = self._loop.time()
        for fd, _ in self._epoll.poll(0, BATCH):
            if fd == self._watches:
                self._heed_files(_drain.watch_read(self._watches))
            elif fd in self._eventfds:  # else it was forgotten earlier in this round
                self._eventfds[fd](True)
        took = self._loop.time() - began
        self._loop.remove_reader(self._epoll.fileno())
        self._resting = self._loop.call_later(max(took, PAUSE_SECONDS), self._listen)

    def _heed_files(self, modified: list[int]) -> None:
        """Handle the kicks of modified files; after lost reports, those of all files."""
        certain = set(modified)
        for watch in list(self._files) if _drain.WATCH_OVERFLOW in certain else certain:
            heed = self._files.get(watch)
            if heed is not None:  # else it was forgotten earlier in this round
                heed(watch in certain)


class Kick:
    """The kick of one lane, whichever way its emitter kicks."""

    def __init__(
        self, kicks: Kicks, path: Path, heed: Callable[[], bool], on_mute: Callable[[], None]
    ) -> None:
        """Watch the lane's file.

        Args:
            kicks: the watches of all lanes.
            path: the lane's file.
            heed: answers a kick, and returns whether there was need for it.
            on_mute: called once, when `MAX_IDLE` kicks in a row were for nothing and the lane is
                watched no more.
        """
        self._kicks = kicks
        self._heed = heed
        self._on_mute = on_mute
        self._idle = 0
        self._watch = kicks.watch(path, self._kicked)
        self._eventfd: int | None = None

    def eventfd(self) -> int:
        """Make an eventfd that the emitter may write to instead, and watch it.

        Raises:
            OSError: no more files may be open, or epoll cannot watch it.
        """
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._kicks.watch_eventfd(fd, self._kicked)
        except BaseException:
            os.close(fd)
            raise
        self._eventfd = fd
        return fd

    def _kicked(self, for_certain: bool) -> None:
        """Handle one kick, and stop watching after too many for nothing.

        Args:
            for_certain: whether there was a kick for certain; only such a kick counts as one for
                nothing.
        """
        if self._heed():
            self._idle = 0
        elif for_certain:
            self._idle += 1
        if self._idle >= MAX_IDLE:
            self._mute()
            self._on_mute()

    def _mute(self) -> None:
        """Stop watching the file and the eventfd."""
        if self._watch is not None:
            self._kicks.forget(self._watch)
        if self._eventfd is not None:
            self._kicks.forget_eventfd(self._eventfd)

    def close(self) -> None:
        """Stop watching the lane, and close its eventfd."""
        self._mute()
        if self._eventfd is not None:
            os.close(self._eventfd)
