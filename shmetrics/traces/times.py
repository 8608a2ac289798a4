# SPDX-License-Identifier: Apache-2.0
"""Times as people and OSProfiler read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso(unix_ns: int | None) -> str | None:
    """Return a time as OSProfiler writes it: UTC, with microseconds; None for None.

    A time after the year 9999 becomes the last one that a calendar has.
    """
    if unix_ns is None:
        return None
    try:
        when = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    except OverflowError:
        when = datetime.max
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")
