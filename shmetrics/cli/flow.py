# SPDX-License-Identifier: Apache-2.0
"""The flow to destinations, from two answers of the collector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct


class Destination(Struct):
    """A destination, as the collector lists it."""

    kind: str
    to: str
    sent: int
    waiting: int
    waiting_bytes: int
    max_waiting_bytes: int
    dropped: dict[str, int]
    problem: str
    failing_seconds: float | None


class Flow(NamedTuple):
    """The flow to one destination in one interval. Without an earlier answer, no rate is known."""

    destination: Destination
    sent_per_second: float | None
    dropped_per_second: float | None


class Flows:
    """The flow to each destination, from one answer to the next."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Destination] = {}
        self._seen_at = 0.0

    def of(self, now: float, destinations: Iterable[Destination]) -> list[Flow]:
        """Return the flow since the last answer, by kind and address.

        Args:
            now: the time of the answer, in seconds of any clock.
            destinations: the answer.
        """
        before, elapsed = self._seen, max(now - self._seen_at, 1e-9)
        self._seen, self._seen_at = {(one.kind, one.to): one for one in destinations}, now
        return [
            _flow(before.get(key), one, elapsed)
            for key, one in sorted(self._seen.items(), key=lambda pair: pair[0])
        ]


def _flow(before: Destination | None, after: Destination, elapsed: float) -> Flow:
    if before is None or before.sent > after.sent:  # it is new, or the collector has begun anew
        return Flow(after, None, None)
    dropped = sum(after.dropped.values()) - sum(before.dropped.values())
    return Flow(after, (after.sent - before.sent) / elapsed, dropped / elapsed)
