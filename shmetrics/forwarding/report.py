# SPDX-License-Identifier: Apache-2.0
"""The report of a destination: how many items were sent, wait or were lost, and its problem."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

#: Why items are lost. Each is counted from the beginning, so that the first loss is an increase.
REASONS: Final = ("queue", "refused", "gave_up", "stopped", "failed")


class Counts(NamedTuple):
    """The number of items that were put so far, and of these put = sent + waiting + lost.

    All numbers are of one moment.

    Attributes:
        put: how many were put.
        sent: how many have arrived.
        waiting: how many wait, or are being sent.
        lost: how many are lost, by reason.
        waiting_bytes: the memory of those that wait, or are being sent.
        retries: how many batches had to be sent once more.
    """

    put: int
    sent: int
    waiting: int
    lost: Counter[str]
    waiting_bytes: int
    retries: int


class Report(NamedTuple):
    """The report of one destination, as of one moment.

    Attributes:
        to: the destination.
        kind: the word for what is counted: spans, or series.
        counts: of the items that were put.
        max_waiting_bytes: the most memory of those that wait.
        problem: why the last attempt failed; "": it did not.
        failing_seconds: how long attempts have failed; None: the last one did not.
        n_unfit: how many items more there were, which its format cannot express.
    """

    to: str
    kind: str
    counts: Counts
    max_waiting_bytes: int
    problem: str = ""
    failing_seconds: float | None = None
    n_unfit: int = 0

    @property
    def produced(self) -> int:
        """Return the number of all items: those sent, waiting and dropped."""
        return self.counts.put + self.n_unfit

    @property
    def dropped(self) -> dict[str, int]:
        """Return how many items will not arrive, by reason; only reasons that there were."""
        lost = dict(self.counts.lost)
        return lost | {"unfit": self.n_unfit} if self.n_unfit else lost

    def plain(self) -> dict[str, object]:
        """Return it as the JSON API has it."""
        return {
            "kind": self.kind,
            "to": self.to,
            "produced": self.produced,
            "sent": self.counts.sent,
            "waiting": self.counts.waiting,
            "waiting_bytes": self.counts.waiting_bytes,
            "max_waiting_bytes": self.max_waiting_bytes,
            "dropped": self.dropped,
            "retries": self.counts.retries,
            "problem": self.problem,
            "failing_seconds": self.failing_seconds,
        }
