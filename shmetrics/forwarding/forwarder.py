# SPDX-License-Identifier: Apache-2.0
"""A thread that forwards items to one destination: a queue, batches, pauses between tries.

It knows the number of items and their bytes, and not what they are: a Kind tells their size, and a
Sender sends them. Putting items into the queue never waits: items beyond its limit are lost, and
counted. A batch is tried again, with growing pauses, until it has arrived, was refused, or is too
old. Later batches wait for it. At every moment, what was put is what was sent, what waits, and what
is lost.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from shmetrics.forwarding.report import Counts, Report
from shmetrics.forwarding.sender import Refused, Sender, TryAgain
from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)

#: gRPC receivers accept 4 MiB by default, and a message is larger than the info in it.
BATCH_BYTES: Final = 1024 * 1024
LONGEST_PAUSE_SECONDS: Final = 60.0
#: The time in which the last items have to arrive when a process ends.
STOP_SECONDS: Final = 5.0
#: The most characters of a destination's reason.
LONGEST_REASON: Final = 300


Waiting = TypeVar("Waiting")
Item = TypeVar("Item")


def _one(item: Any) -> int:
    return 1


def _now(item: Any) -> float:
    return time.monotonic()


@dataclass(frozen=True)
class Kind(Generic[Waiting, Item]):
    """The kind of items of a forwarder.

    Attributes:
        name: the word for many of what is counted, for people.
        size_bytes: returns the size of an item in the queue.
        item: makes what is sent of one from the queue, in the forwarder's thread.
        count: returns how many an item counts as.
        since: returns from when on an item is tried, as time.monotonic().
        keeps_newest: whether the oldest in the queue make room for the newest. What was put
            together is lost together then. Otherwise the newest are lost.
    """

    name: str
    size_bytes: Callable[[Waiting], int]
    item: Callable[[Waiting], Item]
    count: Callable[[Any], int] = _one
    since: Callable[[Item], float] = _now
    keeps_newest: bool = False


class Limits(NamedTuple):
    """The limits of a forwarder.

    Attributes:
        batch_items: the most items of a batch.
        batch_seconds: the longest wait of an item for a full batch.
        waiting_bytes: the size of what waits or is being sent, in bytes of memory.
        give_up_seconds: the time in which an item is tried, from what its kind says.
        pause_seconds: the pause before the second try; each later one is twice as long.
    """

    batch_items: int = 1000
    batch_seconds: float = 1.0
    waiting_bytes: int = 16 * 1024 * 1024
    give_up_seconds: float = 300.0
    pause_seconds: float = 1.0


class _Problem(NamedTuple):
    """The reason why attempts fail, and since when, as time.monotonic()."""

    why: str
    since: float


class _Entry(NamedTuple):
    """An item in the queue.

    Attributes:
        waiting: the item.
        n: how many it counts as.
        n_bytes: its size.
        group: the number of the put() that it came with.
    """

    waiting: Any
    n: int
    n_bytes: int
    group: int


class Forwarder(Generic[Waiting, Item]):
    """A forwarder, which sends items in their order. Any thread may read the counts."""

    def __init__(
        self,
        name: str,
        sender: Sender[Item],
        kind: Kind[Waiting, Item],
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        """Start the thread, which owns the sender from now on."""
        self.name = name
        self.sent = 0
        self.retries = 0
        self.lost: Counter[str] = Counter()
        self._sender = sender
        self._kind = kind
        self._limits = limits
        self._put = 0
        self._waiting: deque[_Entry] = deque()
        self._waiting_bytes = 0
        self._n_waiting = 0
        self._since = 0.0  # the time at which the first of them came
        self._in_hand = 0  # what has left the queue and is not counted yet
        self._in_hand_bytes = 0  # the memory of the batch that is being sent
        self._sizes: dict[int, int] = {}  # of its items, by identity
        self._group = 0
        self._changed = threading.Condition()  # of a lock that its holder may take again
        self._deadline: float | None = None  # set by stop()
        self._is_abandoned = False
        self._problem: _Problem | None = None  # of the last attempt
        self._rate_limited = RateLimitedLog(log)
        self._thread = threading.Thread(target=self._run, name="shmetrics-forward", daemon=True)
        self._thread.start()

    def put(self, brought: Iterable[Waiting]) -> None:
        """Put these into the queue. Never waits."""
        count, size_bytes = self._kind.count, self._kind.size_bytes
        with self._changed:
            self._group += 1
            entries = [_Entry(one, count(one), size_bytes(one), self._group) for one in brought]
            self._put += sum(entry.n for entry in entries)
            if self._deadline is not None:
                self._lose("stopped", entries)
            elif self._kind.keeps_newest:
                self._keep_newest(entries)
            else:
                for entry in entries:
                    if self._has_room(entry.n_bytes):
                        self._append(entry)
                    else:
                        self._lose("queue", [entry])
            self._changed.notify_all()

    def _keep_newest(self, entries: Sequence[_Entry]) -> None:
        """Append all of them, and lose the oldest that wait where these need the room."""
        n_bytes = sum(entry.n_bytes for entry in entries)
        while self._waiting and not self._has_room(n_bytes):
            oldest = self._waiting[0].group
            while self._waiting and self._waiting[0].group == oldest:
                self._lose("queue", [self._pop()])
        if not self._has_room(n_bytes):
            self._lose("queue", entries)
            return
        for entry in entries:
            self._append(entry)

    def _has_room(self, n_bytes: int) -> bool:
        held_bytes = self._waiting_bytes + self._in_hand_bytes
        return held_bytes + n_bytes <= self._limits.waiting_bytes

    def _lose(self, reason: str, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            self.lost[reason] += entry.n

    def _append(self, entry: _Entry) -> None:
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(entry)
        self._waiting_bytes += entry.n_bytes
        self._n_waiting += entry.n

    def _pop(self) -> _Entry:
        entry = self._waiting.popleft()
        self._waiting_bytes -= entry.n_bytes
        self._n_waiting -= entry.n
        return entry

    def counts(self) -> Counts:
        """Return the counts of this moment."""
        with self._changed:
            return Counts(
                self._put,
                self.sent,
                self._n_waiting + self._in_hand,
                Counter(self.lost),
                self._waiting_bytes + self._in_hand_bytes,
                self.retries,
            )

    def report(self) -> Report:
        """Return the counts of this moment, and what is wrong now."""
        with self._changed:
            counts, problem = self.counts(), self._problem
        limit = self._limits.waiting_bytes
        if problem is None:
            return Report(self.name, self._kind.name, counts, limit)
        seconds = time.monotonic() - problem.since
        return Report(self.name, self._kind.name, counts, limit, problem.why, seconds)

    def stop(self, deadline: float) -> None:
        """Accept no more items, and lose those that have not arrived by the deadline.

        Args:
            deadline: a time of time.monotonic(), in seconds.
        """
        with self._changed:
            if self._deadline is None:  # a second stop() does not extend it
                self._deadline = deadline
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until all items have arrived or the deadline of stop() is over."""
        assert self._deadline is not None, "stop() comes first"
        self._thread.join(max(self._deadline - time.monotonic(), 0))
        with self._changed:
            # A sender may hang a little longer; the items that it has count as lost.
            self._is_abandoned = True
            if left := self._n_waiting + self._in_hand:
                self.lost["stopped"] += left
            self._waiting.clear()
            self._waiting_bytes = self._n_waiting = self._in_hand = self._in_hand_bytes = 0

    # ---- in the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._next():
            self._sizes.clear()
            self._deliver(self._items(batch))
        self._sender.close()

    def _items(self, batch: Iterable[_Entry]) -> list[Item]:
        """Return what is sent of a batch, and keep its sizes."""
        items = []
        for entry in batch:
            items.append(self._kind.item(entry.waiting))
            self._sizes[id(items[-1])] = entry.n_bytes
        return items

    def _hold(self, items: Iterable[Item]) -> None:
        """Hold only these items, which are being sent. A part of an item counts as the whole."""
        sizes = [self._sizes.get(id(item)) for item in items]
        with self._changed:
            if None not in sizes and not self._is_abandoned:
                self._in_hand_bytes = sum(filter(None, sizes))

    def _next(self) -> list[_Entry]:
        """Wait for the next batch, and return it; an empty one means the end."""
        with self._changed:
            while not self._is_due():
                if self._deadline is not None:
                    return []
                left = self._since + self._limits.batch_seconds - time.monotonic()
                self._changed.wait(left if self._waiting else None)
            return self._taken(self._limits.batch_items)

    def _taken(self, most: int) -> list[_Entry]:
        """Take a batch of at most *most* items out of the queue."""
        batch: list[_Entry] = []
        batch_bytes = 0
        while self._waiting and len(batch) < most:
            if batch and batch_bytes + self._waiting[0].n_bytes > BATCH_BYTES:
                break
            entry = self._pop()
            batch.append(entry)
            batch_bytes += entry.n_bytes
            self._in_hand += entry.n
        self._in_hand_bytes += batch_bytes
        return batch

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        return (
            len(self._waiting) >= self._limits.batch_items
            or self._waiting_bytes >= BATCH_BYTES
            or self._deadline is not None
            or time.monotonic() >= self._since + self._limits.batch_seconds
        )

    def _deliver(self, items: Sequence[Item]) -> None:
        """Send items, again and again, until each of them has arrived or is lost."""
        schedule = _RetrySchedule(self._limits, self._kind.since, items)
        while items:
            try:
                outcome = self._sender.send(items)
            except TryAgain as problem:
                items = self._left(problem, items, schedule)
            except Refused as problem:
                self._warn(f"refused: {problem}")
                self._count(n := self._n(items), refused=n)
                return
            except Exception as error:
                # An error in our code, which would happen again with these items.
                self._warn(f"{type(error).__name__}: {error}")
                self._count(n := self._n(items), failed=n)
                return
            else:
                self._problem = None
                n_items = self._n(items)
                n_done = n_items - self._n(outcome.left)
                # The number is the receiver's, and may be wrong.
                n_refused = min(max(outcome.refused, 0), n_done - outcome.failed)
                if n_refused:
                    why = f": {outcome.why}" if outcome.why and not outcome.failed else ""
                    self._warn(f"{n_refused} of {n_items} {self._kind.name} were refused{why}")
                if outcome.failed:
                    self._warn(f"{outcome.failed} of {n_items} cannot be sent: {outcome.why}")
                self._count(n_done, refused=n_refused, failed=outcome.failed)
                items = outcome.left
                self._hold(items)
                schedule = _RetrySchedule(self._limits, self._kind.since, items)

    def _left(
        self, problem: TryAgain, items: Sequence[Item], schedule: _RetrySchedule
    ) -> Sequence[Item]:
        """Pause, and return the items to send next; none: the batch is done."""
        left = items if problem.left is None else problem.left
        n_done = self._n(items) - self._n(left)
        self._count(n_done, failed=problem.failed, refused=problem.refused)
        if n_done:  # the destination is up
            self._problem = None
            schedule.begin(left)
        self._warn(str(problem))
        seconds = min(max(schedule.pause(), problem.after_seconds), LONGEST_PAUSE_SECONDS)
        kept = schedule.kept(left, time.monotonic() + seconds)
        n_late = self._n(left) - self._n(kept)
        self._count(n_late, gave_up=n_late)
        if kept and not self._wait(seconds):
            self._count(n := self._n(kept), stopped=n)
            return []
        self._hold(kept)
        if kept and problem.left is not None:
            # Newer items are sent with these: whether they arrive tells whose fault it is.
            others = self._others(self._limits.batch_items - len(kept))
            schedule.add(others)
            kept += others
        return kept

    def _others(self, most: int) -> list[Item]:
        with self._changed:
            taken = self._taken(most)
        return self._items(taken)

    def _wait(self, seconds: float) -> bool:
        """Wait before the next try. Return False if the deadline leaves no time for one."""
        again_at = time.monotonic() + seconds
        with self._changed:
            self.retries += 1
            while (now := time.monotonic()) < again_at:
                if self._deadline is not None and again_at > self._deadline:
                    return False
                self._changed.wait(again_at - now)
        return True

    def _n(self, items: Iterable[Item]) -> int:
        """Return how many these items count as."""
        return sum(map(self._kind.count, items))

    def _count(self, n: int, **lost: int) -> None:
        """Count *n* as done: some of them as lost, by reason, the others as arrived."""
        with self._changed:
            if self._is_abandoned:
                return
            self._in_hand -= n
            if not self._in_hand:
                self._in_hand_bytes = 0
            self.sent += n - sum(lost.values())
            for reason, n_lost in lost.items():
                if n_lost:
                    self.lost[reason] += n_lost

    def _warn(self, why: str) -> None:
        """Log the reason of a failure, and keep it for reports."""
        said = " ".join(why[: 4 * LONGEST_REASON].split())[:LONGEST_REASON]
        before = self._problem
        self._problem = _Problem(said, time.monotonic() if before is None else before.since)
        self._rate_limited.warning("", f"{self.name}: {self._kind.name} are not forwarded: {said}")


def stop_all(forwarders: Sequence[Forwarder[Any, Any]], seconds: float = STOP_SECONDS) -> None:
    """Stop all at the same time, with this many seconds for what waits."""
    deadline = time.monotonic() + seconds
    for forwarder in forwarders:
        forwarder.stop(deadline)
    for forwarder in forwarders:
        forwarder.join()


class _RetrySchedule:
    """The time until which each item of a batch is tried, and the pauses between tries."""

    def __init__(self, limits: Limits, since: Callable[[Any], float], items: Sequence[Any]) -> None:
        self._limits = limits
        self._since = since
        self.begin(items)

    def begin(self, items: Sequence[Any]) -> None:
        """Start anew with these items."""
        self._pause = self._limits.pause_seconds
        self._give_up_at: dict[int, float] = {}  # by identity
        self.add(items)

    def add(self, items: Sequence[Any]) -> None:
        """Add items, whose time begins when their kind says."""
        for item in items:
            self._give_up_at[id(item)] = self._since(item) + self._limits.give_up_seconds

    def kept(self, items: Sequence[Item], at: float) -> list[Item]:
        """Return the items that are still tried at a time of time.monotonic()."""
        return [item for item in items if self._until(item) >= at]

    def _until(self, item: Any) -> float:
        # An item that is a part of one that was sent has its own time.
        until = self._give_up_at.get(id(item))
        return self._since(item) + self._limits.give_up_seconds if until is None else until

    def pause(self) -> float:
        """Return the next pause in seconds, each time about twice as long.

        It is random, so that not all clients of a destination come back at the same time.
        """
        seconds = self._pause * random.uniform(0.5, 1.0)
        self._pause *= 2
        return seconds
