# SPDX-License-Identifier: Apache-2.0
"""Times as people and OSProfiler read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso(unix_ns: int | None) -> str | None:
    """As OSProfiler writes times: UTC, with microseconds. No later than a calendar goes."""
    if unix_ns is None:
        return None
    try:
        when = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    except OverflowError:
        when = datetime.max
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")
