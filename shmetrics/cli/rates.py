# SPDX-License-Identifier: Apache-2.0
"""What happened between two answers of the collector, method by method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shmetrics.web.methods import Method, family_title, quantile


class Rate(NamedTuple):
    """One method in one interval. p50, p99 in seconds, None where no call ended."""

    side: str
    topic: str
    method: str
    per_second: float
    in_flight: int
    oldest_seconds: float | None
    p50: float | None
    p99: float | None
    errors_per_second: float


def between(before: Iterable[Method], after: Iterable[Method], seconds: float) -> list[Rate]:
    """The rates of all methods that are there now, the busiest first."""
    known = {(row.family, row.topic, row.method): row for row in before}
    rates = [
        _rate(known.get((row.family, row.topic, row.method)), row, max(seconds, 1e-9))
        for row in after
    ]
    return sorted(rates, key=lambda rate: (-rate.per_second, -rate.in_flight, rate[:3]))


def _rate(before: Method | None, after: Method, seconds: float) -> Rate:
    if before is None or before.started > after.started or before.bounds != after.bounds:
        # New, or the collector began anew: everything it counts is since then.
        before = Method(after.family, after.topic, after.method, buckets=[0] * len(after.buckets))
    buckets = [now - then for now, then in zip(after.buckets, before.buckets, strict=True)]
    return Rate(
        family_title(after.family),
        after.topic,
        after.method,
        (after.ended - before.ended) / seconds,
        after.in_flight,
        after.oldest_seconds if after.in_flight else None,
        quantile(0.5, after.bounds, buckets),
        quantile(0.99, after.bounds, buckets),
        (after.failed - before.failed) / seconds,
    )
