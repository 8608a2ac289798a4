# SPDX-License-Identifier: Apache-2.0
"""A thread that passes items on to one destination: a queue, batches, pauses between tries.

It knows the number of items and their bytes, and not what they are: a Kind tells their size, and a
Sender sends them. Putting items into the queue never waits: items beyond its limit are lost, and
counted. A batch is tried again, with growing pauses, until it has arrived, was refused, or is too
old. Later batches wait for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from shmetrics.destinations.sender import Refused, Sender, TryAgain
from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)

#: gRPC receivers accept 4 MiB by default, and a message is larger than the info in it.
BATCH_BYTES: Final = 1024 * 1024
LONGEST_PAUSE_SECONDS: Final = 60.0
#: The most characters of a destination's reason in the log.
LONGEST_REASON: Final = 300


Waiting = TypeVar("Waiting")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Kind(Generic[Waiting, Item]):
    """The kind of items that a forwarder passes on.

    Attributes:
        name: the word for many of them, for people.
        size_bytes: returns the size of one in the queue.
        item: makes what is sent of one from the queue, in the forwarder's thread.
    """

    name: str
    size_bytes: Callable[[Waiting], int]
    item: Callable[[Waiting], Item]


class Limits(NamedTuple):
    """The limits of a forwarder.

    Attributes:
        batch_items: the most items of a batch.
        batch_seconds: the longest wait of a item for a full batch.
        waiting_bytes: the size of the queue, in bytes of memory.
        give_up_seconds: the time after its first try in which a item is tried again.
        pause_seconds: the pause before the second try; each later one is twice as long.
    """

    batch_items: int = 1000
    batch_seconds: float = 1.0
    waiting_bytes: int = 16 * 1024 * 1024
    give_up_seconds: float = 300.0
    pause_seconds: float = 1.0


class Forwarder(Generic[Waiting, Item]):
    """A forwarder, which passes on items in their order. Any thread may read the counts."""

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
        self._waiting: deque[tuple[Waiting, int]] = deque()  # and its bytes
        self._waiting_bytes = 0
        self._since = 0.0  # the time at which the first of them came
        self._in_hand = 0  # items that have left the queue and are not counted yet
        self._changed = threading.Condition()
        self._deadline: float | None = None  # set by stop()
        self._is_abandoned = False
        self._rate_limited = RateLimitedLog(log)
        self._thread = threading.Thread(target=self._run, name="shmetrics-forward", daemon=True)
        self._thread.start()

    def put(self, brought: Iterable[Waiting]) -> None:
        """Put these into the queue. Never waits."""
        with self._changed:
            for one in brought:
                n_bytes = self._kind.size_bytes(one)
                if self._deadline is not None:
                    self.lost["stopped"] += 1
                elif self._waiting_bytes + n_bytes > self._limits.waiting_bytes:
                    self.lost["queue"] += 1
                else:
                    if not self._waiting:
                        self._since = time.monotonic()
                    self._waiting.append((one, n_bytes))
                    self._waiting_bytes += n_bytes
            self._changed.notify_all()

    def stop(self, deadline: float) -> None:
        """Accept no more spans, and lose those that have not arrived by the deadline.

        Args:
            deadline: a time of time.monotonic(), in seconds.
        """
        with self._changed:
            if self._deadline is None:  # a second stop() does not extend it
                self._deadline = deadline
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until all spans have arrived or the deadline of stop() is over."""
        assert self._deadline is not None, "stop() comes first"
        self._thread.join(max(self._deadline - time.monotonic(), 0))
        with self._changed:
            # A sender may hang a little longer; the spans that it has count as lost.
            self._is_abandoned = True
            if left := len(self._waiting) + self._in_hand:
                self.lost["stopped"] += left
            self._waiting.clear()
            self._waiting_bytes = self._in_hand = 0

    # ---- in the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._next():
            self._deliver([self._kind.item(one) for one in batch])
        self._sender.close()

    def _next(self) -> list[Waiting]:
        """Wait for the next batch, and return it; an empty one means the end."""
        with self._changed:
            while not self._is_due():
                if self._deadline is not None:
                    return []
                left = self._since + self._limits.batch_seconds - time.monotonic()
                self._changed.wait(left if self._waiting else None)
            return self._taken(self._limits.batch_items)

    def _taken(self, most: int) -> list[Waiting]:
        """Take a batch of at most *most* items out of the queue."""
        batch: list[Waiting] = []
        batch_bytes = 0
        while self._waiting and len(batch) < most:
            one, n_bytes = self._waiting[0]
            if batch and batch_bytes + n_bytes > BATCH_BYTES:
                break
            self._waiting.popleft()
            batch.append(one)
            batch_bytes += n_bytes
        self._waiting_bytes -= batch_bytes
        self._in_hand += len(batch)
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
        schedule = _RetrySchedule(self._limits, items)
        while items:
            try:
                outcome = self._sender.send(items)
            except TryAgain as problem:
                items = self._left(problem, items, schedule)
            except Refused as problem:
                self._warn(f"refused: {problem}")
                self._count(len(items), refused=len(items))
                return
            except Exception as error:
                # An error in our code, which would happen again with these items.
                self._warn(f"{type(error).__name__}: {error}")
                self._count(len(items), failed=len(items))
                return
            else:
                n_done = len(items) - len(outcome.left)
                # The number is the receiver's, and may be wrong.
                n_refused = min(max(outcome.refused, 0), n_done - outcome.failed)
                if n_refused:
                    self._warn(f"{n_refused} of {len(items)} {self._kind.name} were refused")
                if outcome.failed:
                    self._warn(f"{outcome.failed} of {len(items)} cannot be sent: {outcome.why}")
                self._count(n_done, refused=n_refused, failed=outcome.failed)
                items = outcome.left
                schedule = _RetrySchedule(self._limits, items)

    def _left(
        self, problem: TryAgain, items: Sequence[Item], schedule: _RetrySchedule
    ) -> Sequence[Item]:
        """Pause, and return the items to send next; none: the batch is done."""
        left = items if problem.left is None else problem.left
        n_done = len(items) - len(left)
        self._count(n_done, failed=problem.failed)
        self._warn(str(problem))
        if n_done:  # the destination is up
            schedule.begin(left)
        seconds = min(max(schedule.pause(), problem.after_seconds), LONGEST_PAUSE_SECONDS)
        kept = schedule.kept(left, time.monotonic() + seconds)
        n_late = len(left) - len(kept)
        self._count(n_late, gave_up=n_late)
        if kept and not self._wait(seconds):
            self._count(len(kept), stopped=len(kept))
            return []
        if kept and problem.left is not None:
            # Newer items are sent with these: whether they arrive tells whose fault it is.
            others = self._others(self._limits.batch_items - len(kept))
            schedule.add(others)
            kept += others
        return kept

    def _others(self, most: int) -> list[Item]:
        with self._changed:
            taken = self._taken(most)
        return [self._kind.item(one) for one in taken]

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

    def _count(self, n: int, **lost: int) -> None:
        """Count *n* spans as done: some of them as lost, by reason, the others as arrived."""
        with self._changed:
            if self._is_abandoned:
                return
            self._in_hand -= n
            self.sent += n - sum(lost.values())
            for reason, n_lost in lost.items():
                if n_lost:
                    self.lost[reason] += n_lost

    def _warn(self, why: str) -> None:
        said = " ".join(why[: 4 * LONGEST_REASON].split())[:LONGEST_REASON]
        self._rate_limited.warning("", f"{self.name}: {self._kind.name} are not passed on: {said}")


class _RetrySchedule:
    """The time until which each item of a batch is tried, and the pauses between tries."""

    def __init__(self, limits: Limits, items: Sequence[Item]) -> None:
        self._limits = limits
        self.begin(items)

    def begin(self, items: Sequence[Item]) -> None:
        """Start anew with these items."""
        self._pause = self._limits.pause_seconds
        self._give_up_at: dict[int, float] = {}  # by identity
        self.add(items)

    def add(self, items: Sequence[Item]) -> None:
        """Add items, whose time begins now."""
        until = time.monotonic() + self._limits.give_up_seconds
        self._give_up_at |= dict.fromkeys(map(id, items), until)

    def kept(self, items: Sequence[Item], at: float) -> list[Item]:
        """Return the items that are still tried at a time of time.monotonic()."""
        return [item for item in items if self._give_up_at[id(item)] >= at]

    def pause(self) -> float:
        """Return the next pause in seconds, each time about twice as long.

        It is random, so that not all clients of a destination come back at the same time.
        """
        seconds = self._pause * random.uniform(0.5, 1.0)
        self._pause *= 2
        return seconds
