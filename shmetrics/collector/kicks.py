# SPDX-License-Identifier: Apache-2.0
"""Kicks: an emitter whose ring is half full wakes the collector by writing to its eventfd.

The emitter has the same descriptor, and can do with it what it likes: write without end, fill it
up, read it empty, make it blocking. So nothing is read from it. An edge-triggered epoll tells of
every write; all lanes share one, which may take half of the loop's time, and a lane that kicks for
nothing again and again is not listened to any more: ticks find its records.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

BATCH = 64  # lanes heeded in one round
PAUSE_SECONDS = 0.001  # between rounds, at least
MAX_IDLE = 100  # kicks for nothing, one after the other


class Kicks:
    """Wakes the collector when an emitter asks for it. The default never does."""

    def watch(self, fd: int, heed: Callable[[], None]) -> None:
        """Calls heed after fd is written to."""

    def forget(self, fd: int) -> None:
        """Stops that."""

    def close(self) -> None:
        """Stops it for all."""


class LoopKicks(Kicks):
    """Kicks in rounds, in an asyncio loop. After a round they rest for as long as it took."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heeds: dict[int, Callable[[], None]] = {}
        self._resting: asyncio.TimerHandle | None = None
        self._epoll = select.epoll()
        self._listen()

    def watch(self, fd: int, heed: Callable[[], None]) -> None:
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        self._heeds[fd] = heed

    def forget(self, fd: int) -> None:
        if self._heeds.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _listen(self) -> None:
        self._loop.add_reader(self._epoll.fileno(), self._round)

    def _round(self) -> None:
        began = self._loop.time()
        for fd, _ in self._epoll.poll(0, BATCH):
            heed = self._heeds.get(fd)
            if heed is not None:  # not forgotten in this very round
                heed()
        took = self._loop.time() - began
        self._loop.remove_reader(self._epoll.fileno())
        self._resting = self._loop.call_later(max(took, PAUSE_SECONDS), self._listen)


class Kick:
    """One lane's kick. fd: for its emitter too."""

    def __init__(self, kicks: Kicks, heed: Callable[[], bool], on_mute: Callable[[], None]) -> None:
        """heed answers a kick, and says whether there was any need for it; on_mute is told when
        that has been denied so often that kicks are heeded no more. Raises OSError."""
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._kicks = kicks
        self._heed = heed
        self._on_mute = on_mute
        self._idle = 0
        try:
            kicks.watch(self.fd, self._kicked)
        except BaseException:
            os.close(self.fd)
            raise

    def _kicked(self) -> None:
        self._idle = 0 if self._heed() else self._idle + 1
        if self._idle >= MAX_IDLE:
            self._kicks.forget(self.fd)
            self._on_mute()

    def close(self) -> None:
        self._kicks.forget(self.fd)
        os.close(self.fd)
