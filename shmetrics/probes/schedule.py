# SPDX-License-Identifier: Apache-2.0
"""The time of each probe: spread over its interval, within a bound, and never late by much.

A probe has a turn once per interval, at a phase that is a hash of its name: turns of many probes
are spread, and stay where they are after a restart. Turn n is at `phase + n * interval` of the
clock, so nothing drifts. Of one unit, one probe runs at a time. A turn is skipped, and counted by
its reason:

    running      the probe has not ended since its last turn
    late         the turn was noticed too late, or not before the next: this process, or the node,
                 stood still; nothing is made up for
    no_room      as many as may run did so until the next turn, or others of its unit
    backing_off  the probe timed out again and again
"""

from __future__ import annotations

import heapq
import zlib
from collections import Counter, deque
from collections.abc import Mapping

from shmetrics.probes.probe import Key

LATE_PARTS = 10  # a turn is late after this part of the interval
TIMEOUTS = 2  # in a row, after which a probe backs off
MOST_SKIPPED = 31  # turns in a row that a probe is kept off


class _Turns:
    """The turns of one probe."""

    def __init__(self, phase_ns: int, interval_ns: int, now_ns: int) -> None:
        self.phase_ns, self.interval_ns = phase_ns, interval_ns
        self.next = self.number(now_ns) + 1
        self.resume = 0  # the first turn that it may take again
        self.timeouts = 0  # in a row
        self.running = False
        self.stuck = False  # it runs, and has given its room to others
        self.waiting = False

    def number(self, now_ns: int) -> int:
        """Return the number of the last turn until now."""
        return (now_ns - self.phase_ns) // self.interval_ns

    def at(self, number: int) -> int:
        return self.phase_ns + number * self.interval_ns


class Schedule:
    """The turns of all probes, on a clock that does not go back. No I/O, and no clock of its own.

    Attributes:
        skipped: the number of turns skipped, by reason.
        running: the number of probes that run, without those that are stuck.
    """

    def __init__(self, most_at_once: int) -> None:
        self.skipped: Counter[str] = Counter()
        self.running = 0
        self._most_at_once = most_at_once
        self._turns: dict[Key, _Turns] = {}
        self._leaving: dict[Key, _Turns] = {}  # which run, and were taken out
        self._upcoming: list[tuple[int, Key]] = []  # a heap: when the next turn is, and whose
        self._waiting: deque[Key] = deque()
        self._busy_units: set[str] = set()

    def set(self, intervals_ns: Mapping[Key, int], now_ns: int) -> None:
        """Set which probes there are, and their intervals. Those that stay keep their turns."""
        for key in self._turns.keys() - intervals_ns.keys():
            gone = self._turns.pop(key)
            if gone.running:
                self._leaving[key] = gone
        for key, interval_ns in intervals_ns.items():
            known = self._turns.get(key)
            if known is not None and known.interval_ns == interval_ns:
                continue
            turns = _Turns(phase_ns(key, interval_ns), interval_ns, now_ns)
            former = known or self._leaving.pop(key, None)
            if former is not None:
                turns.running, turns.stuck = former.running, former.stuck
            self._turns[key] = turns
        self._waiting = deque(
            key for key in self._waiting if key in self._turns and self._turns[key].waiting
        )
        self._upcoming = [(turns.at(turns.next), key) for key, turns in self._turns.items()]
        heapq.heapify(self._upcoming)

    def take_turns(self, now_ns: int) -> None:
        """Let all probes whose turn has come since the last call wait for room, or skip them."""
        while self._upcoming and self._upcoming[0][0] <= now_ns:
            key = self._upcoming[0][1]
            turns = self._turns[key]
            self._take_turn(key, turns, now_ns)
            heapq.heapreplace(self._upcoming, (turns.at(turns.next), key))

    def fill(self) -> list[Key]:
        """Return the probes to start now. Each of them runs until `ended` is called for it."""
        started = []
        kept: deque[Key] = deque()
        while self._waiting and self.running < self._most_at_once:
            key = self._waiting.popleft()
            if key[0] in self._busy_units:
                kept.append(key)
                continue
            turns = self._turns[key]
            turns.waiting, turns.running = False, True
            self.running += 1
            self._busy_units.add(key[0])
            started.append(key)
        self._waiting.extendleft(reversed(kept))
        return started

    def ended(self, key: Key, timed_out: bool) -> None:
        """Take note that a probe has ended, which `fill` has returned."""
        turns = self._turns.get(key) or self._leaving[key]
        if not turns.stuck:
            self._make_room(key)
        turns.running = turns.stuck = False
        self._leaving.pop(key, None)
        turns.timeouts = turns.timeouts + 1 if timed_out else 0
        if turns.timeouts >= TIMEOUTS:
            kept_off = min(2 ** (turns.timeouts - TIMEOUTS + 1) - 1, MOST_SKIPPED)
            turns.resume = turns.next + kept_off

    def stuck(self, key: Key) -> None:
        """Let others run in place of a probe that cannot be ended. It is running all the same."""
        turns = self._turns.get(key) or self._leaving[key]
        turns.stuck = True
        self._make_room(key)

    def call_all(self) -> None:
        """Let all probes that do not run wait for room, whenever their turn is."""
        for key, turns in self._turns.items():
            if not turns.running and not turns.waiting:
                turns.waiting = True
                self._waiting.append(key)

    @property
    def is_busy(self) -> bool:
        """Return whether a probe runs, or waits for room."""
        return bool(self.running or self._waiting)

    def next_ns(self) -> int | None:
        """Return when the next turn is, None if there is none."""
        return self._upcoming[0][0] if self._upcoming else None

    def _make_room(self, key: Key) -> None:
        self.running -= 1
        self._busy_units.discard(key[0])

    def _take_turn(self, key: Key, turns: _Turns, now_ns: int) -> None:
        number = turns.number(now_ns)
        self.skipped["late"] += number - turns.next
        turns.next = number + 1
        late_ns = now_ns - turns.at(number)
        if turns.running:
            self.skipped["running"] += 1
        elif number < turns.resume:
            self.skipped["backing_off"] += 1
        elif turns.waiting:
            self.skipped["no_room"] += 1  # its former turn; it keeps its place in the queue
        elif late_ns > turns.interval_ns // LATE_PARTS:
            self.skipped["late"] += 1
        else:
            turns.waiting = True
            self._waiting.append(key)


def phase_ns(key: Key, interval_ns: int) -> int:
    """Return how far into an interval the turns of a probe are."""
    return zlib.crc32("\0".join(key).encode("utf-8", "surrogateescape")) * interval_ns >> 32
