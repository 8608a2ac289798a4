# SPDX-License-Identifier: Apache-2.0
"""A thread that passes spans on to one destination.

Whoever brings spans never waits: what there is no room for is lost, and counted. A batch is tried
again, with growing pauses, until it has arrived, was refused, or is too old; those behind it wait.
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

#: gRPC receivers take 4 MiB, unless they are told otherwise, and a message is larger than its info.
BATCH_BYTES: Final = 1024 * 1024
LONGEST_PAUSE_SECONDS: Final = 60.0
#: Of what somebody says in the log about why spans do not arrive.
LONGEST_REASON: Final = 300


class Limits(NamedTuple):
    """How spans are put together, and how long they wait."""

    batch_spans: int = 1000
    batch_seconds: float = 1.0  # and then what there is goes
    waiting_bytes: int = 16 * 1024 * 1024
    give_up_seconds: float = 300.0  # since a batch was tried first
    pause_seconds: float = 1.0  # before the second try; then twice as long, and so on


class Forwarder:
    """Passes on what it is given, in that order. The counts are for everybody to read."""

    def __init__(self, name: str, sender: Sender, limits: Limits = Limits()) -> None:  # noqa: B008
        """Takes the sender over, and begins."""
        self.name = name
        self.sent = 0  # spans that have arrived
        self.retries = 0  # batches that have to be sent once more
        self.lost: Counter[str] = Counter()  # spans that will not arrive, by reason
        self._sender = sender
        self._limits = limits
        self._waiting: deque[tuple[Row, int]] = deque()  # and its bytes
        self._waiting_bytes = 0
        self._since = 0.0  # that the first of them waits
        self._in_hand = 0  # spans that left the queue and have not been counted yet
        self._changed = threading.Condition()
        self._deadline: float | None = None  # once it is closing
        self._is_abandoned = False
        self._rate_limited = RateLimitedLog(log)
        self._thread = threading.Thread(target=self._run, name="shmetrics-forward", daemon=True)
        self._thread.start()

    def put(self, rows: Iterable[Row]) -> None:
        """Has these spans passed on, rows of the trace store. Does not wait."""
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
        """From now on it takes nothing more. What is there has until this moment of
        time.monotonic() to arrive; the rest is lost."""
        with self._changed:
            if self._deadline is None:  # who stops it twice does not wait twice
                self._deadline = deadline
            self._changed.notify_all()

    def join(self) -> None:
        """Waits for that."""
        assert self._deadline is not None, "stop() comes first"
        self._thread.join(max(self._deadline - time.monotonic(), 0))
        with self._changed:
            # A sender may hang a little longer; what it has in hand then counts as lost.
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
        """The next batch; nothing: that was all."""
        with self._changed:
            while not self._is_due():
                if self._deadline is not None:
                    return []
                left = self._since + self._limits.batch_seconds - time.monotonic()
                self._changed.wait(left if self._waiting else None)
            return self._taken(self._limits.batch_spans)

    def _taken(self, most: int) -> list[Row]:
        """The first of those that wait, which are in hand from now on."""
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
        """Until each of them has arrived, or is lost."""
        patience = _Patience(self._limits, spans)
        while spans:
            try:
                outcome = self._sender.send(spans)
            except TryAgain as problem:
                spans = self._left(problem, spans, patience)
            except Refused as problem:
                self._warn(f"refused: {problem}")
                self._count(len(spans), refused=len(spans))
                return
            except Exception as error:
                # A mistake of ours: these spans would meet it again.
                self._warn(f"{type(error).__name__}: {error}")
                self._count(len(spans), failed=len(spans))
                return
            else:
                n_done = len(spans) - len(outcome.left)
                # A receiver can say what it likes.
                n_refused = min(max(outcome.refused, 0), n_done - outcome.failed)
                if n_refused:
                    self._warn(f"{n_refused} of {len(spans)} spans were refused")
                if outcome.failed:
                    self._warn(f"{outcome.failed} of {len(spans)} cannot be said: {outcome.why}")
                self._count(n_done, refused=n_refused, failed=outcome.failed)
                spans = outcome.left
                patience = _Patience(self._limits, spans)

    def _left(
        self, problem: TryAgain, spans: Sequence[StoredSpan], patience: _Patience
    ) -> Sequence[StoredSpan]:
        """What is to be sent next, after a pause; nothing: no more of these."""
        left = spans if problem.left is None else problem.left
        n_done = len(spans) - len(left)
        self._count(n_done, failed=problem.failed)
        self._warn(str(problem))
        if n_done:  # somebody is there
            patience.begin(left)
        seconds = min(max(patience.pause(), problem.after_seconds), LONGEST_PAUSE_SECONDS)
        kept = patience.kept(left, time.monotonic() + seconds)
        n_late = len(left) - len(kept)
        self._count(n_late, gave_up=n_late)
        if kept and not self._wait(seconds):
            self._count(len(kept), stopped=len(kept))
            return []
        if kept and problem.left is not None:
            # What has come meanwhile goes along: whether that arrives tells what keeps these.
            others = self._others(self._limits.batch_spans - len(kept))
            patience.add(others)
            kept += others
        return kept

    def _others(self, most: int) -> list[StoredSpan]:
        with self._changed:
            rows = self._taken(most)
        return [span_of(row) for row in rows]

    def _wait(self, seconds: float) -> bool:
        """Waits before the next try; False: there is none, because of the end."""
        again_at = time.monotonic() + seconds
        with self._changed:
            self.retries += 1
            while (now := time.monotonic()) < again_at:
                if self._deadline is not None and again_at > self._deadline:
                    return False
                self._changed.wait(again_at - now)
        return True

    def _count(self, n: int, **lost: int) -> None:
        """So many are done with: these are lost, by reason, and the others have arrived."""
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


class _Patience:
    """How long each span of a batch is tried, and how long the pauses are."""

    def __init__(self, limits: Limits, spans: Sequence[StoredSpan]) -> None:
        self._limits = limits
        self.begin(spans)

    def begin(self, spans: Sequence[StoredSpan]) -> None:
        """All over again, for these."""
        self._pause = self._limits.pause_seconds
        self._give_up_at: dict[int, float] = {}  # by identity
        self.add(spans)

    def add(self, spans: Sequence[StoredSpan]) -> None:
        """These as well, from now on."""
        until = time.monotonic() + self._limits.give_up_seconds
        self._give_up_at |= dict.fromkeys(map(id, spans), until)

    def kept(self, spans: Sequence[StoredSpan], at: float) -> list[StoredSpan]:
        """Those that are still tried at this time."""
        return [span for span in spans if self._give_up_at[id(span)] >= at]

    def pause(self) -> float:
        """Seconds, each time twice as many; not the same for all of a destination's clients."""
        seconds = self._pause * random.uniform(0.5, 1.0)
        self._pause *= 2
        return seconds
