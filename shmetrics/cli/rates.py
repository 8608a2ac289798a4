# SPDX-License-Identifier: Apache-2.0
"""Rates per method, from two answers of the collector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shmetrics.tables.methods import Method, family_title, quantile, rank


class Rate(NamedTuple):
    """The figures of one method in one interval. p50 and p99 are seconds, or None without calls."""

    side: str
    topic: str
    method: str
    per_second: float
    in_flight: int
    oldest_seconds: float | None
    overdue: int
    p50: float | None
    p99: float | None
    errors_per_second: float


def between(before: Iterable[Method], after: Iterable[Method], seconds: float) -> list[Rate]:
    """Return the rates of all methods of the later answer: RPC first, and the busiest first.

    Args:
        before: the methods of the earlier answer.
        after: the methods of the later answer.
        seconds: the time between both.
    """
    known = {(row.family, row.topic, row.method): row for row in before}
    rates = [
        (
            rank(row.family),
            _rate(known.get((row.family, row.topic, row.method)), row, max(seconds, 1e-9)),
        )
        for row in after
    ]
    rates.sort(key=lambda each: (each[0], -each[1].per_second, -each[1].in_flight, each[1][:3]))
    return [rate for _, rate in rates]


def _rate(before: Method | None, after: Method, seconds: float) -> Rate:
    if before is None or before.started > after.started or before.bounds != after.bounds:
        # The method is new, or the collector has begun anew: all its counts are of this interval.
        before = Method(after.family, after.topic, after.method, buckets=[0] * len(after.buckets))
    buckets = [now - then for now, then in zip(after.buckets, before.buckets, strict=True)]
    return Rate(
        family_title(after.family),
        after.topic,
        after.method,
        (after.ended - before.ended) / seconds,
        after.in_flight,
        after.oldest_seconds if after.in_flight else None,
        after.overdue,
        quantile(0.5, after.bounds, buckets),
        quantile(0.99, after.bounds, buckets),
        (after.failed - before.failed) / seconds,
    )
