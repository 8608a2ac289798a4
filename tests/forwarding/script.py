# SPDX-License-Identifier: Apache-2.0
"""A sender that does as a test says."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

from shmetrics.forwarding.sender import Outcome, TryAgain
from shmetrics.traces.reader import StoredSpan


@dataclasses.dataclass
class Part:
    """Accept so many of a batch, and those behind them never will; the rest is tried again, or next
    if there was no time for it."""

    sent: int
    failed: int = 0
    no_time: bool = False


@dataclasses.dataclass
class Script:
    """A sender that does as it is told, and takes what comes then."""

    does: deque[Exception | Outcome | Part] = dataclasses.field(default_factory=deque)
    taken: list[StoredSpan] = dataclasses.field(default_factory=list)
    sizes: list[int] = dataclasses.field(default_factory=list)  # of batches
    is_closed: bool = False

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        self.sizes.append(len(spans))
        done = self.does.popleft() if self.does else Outcome()
        if isinstance(done, Exception):
            raise done
        if isinstance(done, Outcome):
            self.taken += spans
            return done
        sent = min(done.sent, len(spans))
        failed = min(done.failed, len(spans) - sent)
        self.taken += spans[:sent]
        left = spans[sent + failed :]
        if done.no_time:
            return Outcome(failed=failed, why="odd", left=left)
        raise TryAgain("down", left=left, failed=failed)

    def close(self) -> None:
        self.is_closed = True
