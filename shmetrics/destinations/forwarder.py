# SPDX-License-Identifier: Apache-2.0
"""A thread that forwards spans to one destination.

Putting spans into its queue never waits: spans beyond its limit are lost, and counted. A batch is
tried again, with growing pauses, until it has arrived, was refused, or is too old. Later batches
wait for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from shmetrics.destinations.sender import Refused, Sender, TryAgain
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.traces.reader import Row, StoredSpan, span_of
from shmetrics.traces.store import SPAN_BYTES

log = logging.getLogger(__name__)

#: gRPC receivers accept 4 MiB by default, and a message is larger than the info in it.
BATCH_BYTES: Final = 1024 * 1024
LONGEST_PAUSE_SECONDS: Final = 60.0
#: The most characters of a destination's reason in the log.
LONGEST_REASON: Final = 300


class Limits(NamedTuple):
    """The limits of a forwarder.

    Attributes:
        batch_spans: the most spans of a batch.
        batch_seconds: the longest wait of a span for a full batch.
        waiting_bytes: the size of the queue, in bytes of memory.
        give_up_seconds: the time after its first try in which a span is tried again.
        pause_seconds: the pause before the second try; each later one is twice as long.
    """

    batch_spans: int = 1000
    batch_seconds: float = 1.0
    waiting_bytes: int = 16 * 1024 * 1024
    give_up_seconds: float = 300.0
    pause_seconds: float = 1.0


class Forwarder:
    """A queue of spans, and a thread that sends them in that order.

    Attributes:
        name: the name of the destination.
        sent: spans that have arrived.
        retries: how often a batch had to be sent again.
        lost: spans that will not arrive, by reason.
    """

    def __init__(self, name: str, sender: Sender, limits: Limits = Limits()) -> None:  # noqa: B008
        """Start the thread, which owns the sender from now on."""
        self.name = name
        self.sent = 0
        self.retries = 0
        self.lost: Counter[str] = Counter()
        self._sender = sender
        self._limits = limits
        self._waiting: deque[tuple[Row, int]] = deque()  # and its bytes
        self._waiting_bytes = 0
        self._since = 0.0  # the time at which the first of them came
        self._in_hand = 0  # spans that have left the queue and are not counted yet
        self._changed = threading.Condition()
        self._deadline: float | None = None  # set by stop()
        self._is_abandoned = False
        self._rate_limited = RateLimitedLog(log)
        self._thread = threading.Thread(target=self._run, name="shmetrics-forward", daemon=True)
        self._thread.start()

    def put(self, rows: Iterable[Row]) -> None:
        """Put spans, given as rows of the trace store, into the queue. Never waits."""
        with self._changed:
            for row in rows:
                n_bytes = SPAN_BYTES + sum(len(text.encode()) for text in row[9:11] if text)
                if self._deadline is not None:
                    self.lost["stopped"] += 1
                elif self._waiting_bytes + n_bytes > self._limits.waiting_bytes:
                    self.lost["queue"] += 1
                else:
                    if not self._waiting:
                        self._since = time.monotonic()
                    self._waiting.append((row, n_bytes))
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
        while rows := self._next():
            self._deliver([span_of(row) for row in rows])
        self._sender.close()

    def _next(self) -> list[Row]:
        """Wait for the next batch, and return it; an empty one means the end."""
        with self._changed:
            while not self._is_due():
                if self._deadline is not None:
                    return []
                left = self._since + self._limits.batch_seconds - time.monotonic()
                self._changed.wait(left if self._waiting else None)
            return self._taken(self._limits.batch_spans)

    def _taken(self, most: int) -> list[Row]:
        """Take a batch of at most *most* spans out of the queue."""
        batch: list[Row] = []
        batch_bytes = 0
        while self._waiting and len(batch) < most:
            row, n_bytes = self._waiting[0]
            if batch and batch_bytes + n_bytes > BATCH_BYTES:
                break
            self._waiting.popleft()
            batch.append(row)
            batch_bytes += n_bytes
        self._waiting_bytes -= batch_bytes
        self._in_hand += len(batch)
        return batch

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        return (
            len(self._waiting) >= self._limits.batch_spans
            or self._waiting_bytes >= BATCH_BYTES
            or self._deadline is not None
            or time.monotonic() >= self._since + self._limits.batch_seconds
        )

    def _deliver(self, spans: Sequence[StoredSpan]) -> None:
        """Send spans, again and again, until each of them has arrived or is lost."""
        schedule = _RetrySchedule(self._limits, spans)
        while spans:
            try:
                outcome = self._sender.send(spans)
            except TryAgain as problem:
                spans = self._left(problem, spans, schedule)
            except Refused as problem:
                self._warn(f"refused: {problem}")
                self._count(len(spans), refused=len(spans))
                return
            except Exception as error:
                # An error in our code, which would happen again with these spans.
                self._warn(f"{type(error).__name__}: {error}")
                self._count(len(spans), failed=len(spans))
                return
            else:
                n_done = len(spans) - len(outcome.left)
                # The number is the receiver's, and may be wrong.
                n_refused = min(max(outcome.refused, 0), n_done - outcome.failed)
                if n_refused:
                    self._warn(f"{n_refused} of {len(spans)} spans were refused")
                if outcome.failed:
                    self._warn(f"{outcome.failed} of {len(spans)} cannot be sent: {outcome.why}")
                self._count(n_done, refused=n_refused, failed=outcome.failed)
                spans = outcome.left
                schedule = _RetrySchedule(self._limits, spans)

    def _left(
        self, problem: TryAgain, spans: Sequence[StoredSpan], schedule: _RetrySchedule
    ) -> Sequence[StoredSpan]:
        """Pause, and return the spans to send next; none: the batch is done."""
        left = spans if problem.left is None else problem.left
        n_done = len(spans) - len(left)
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
            # Newer spans are sent with these: whether they arrive tells whose fault it is.
            others = self._others(self._limits.batch_spans - len(kept))
            schedule.add(others)
            kept += others
        return kept

    def _others(self, most: int) -> list[StoredSpan]:
        with self._changed:
            rows = self._taken(most)
        return [span_of(row) for row in rows]

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
        self._rate_limited.warning("", f"{self.name}: spans are not passed on: {said}")


class _RetrySchedule:
    """The time until which each span of a batch is tried, and the pauses between tries."""

    def __init__(self, limits: Limits, spans: Sequence[StoredSpan]) -> None:
        self._limits = limits
        self.begin(spans)

    def begin(self, spans: Sequence[StoredSpan]) -> None:
        """Start anew with these spans."""
        self._pause = self._limits.pause_seconds
        self._give_up_at: dict[int, float] = {}  # by identity
        self.add(spans)

    def add(self, spans: Sequence[StoredSpan]) -> None:
        """Add spans, whose time begins now."""
        until = time.monotonic() + self._limits.give_up_seconds
        self._give_up_at |= dict.fromkeys(map(id, spans), until)

    def kept(self, spans: Sequence[StoredSpan], at: float) -> list[StoredSpan]:
        """Return the spans that are still tried at a time of time.monotonic()."""
        return [span for span in spans if self._give_up_at[id(span)] >= at]

    def pause(self) -> float:
        """Return the next pause in seconds, each time about twice as long.

        It is random, so that not all clients of a destination come back at the same time.
        """
        seconds = self._pause * random.uniform(0.5, 1.0)
        self._pause *= 2
        return seconds
