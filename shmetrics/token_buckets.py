# SPDX-License-Identifier: Apache-2.0
"""Limits to how often something may happen."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FEW = 64  # buckets are not looked through as long as there are no more
_SLACK = 0.001  # tokens, for what sums of seconds are off by


class TokenBuckets(Generic[Key]):
    """A bucket for every key. It holds size tokens, and gains one every interval_seconds.

    A bucket is kept as the time at which it will be full again, and is forgotten then. Times are
    seconds of one clock that does not go back.
    """

    def __init__(self, interval_seconds: float, size: float) -> None:
        self._interval_seconds = interval_seconds
        self._most_seconds = (size + _SLACK) * interval_seconds
        self._full_at: dict[Key, float] = {}
        self._tidy_at = _FEW

    def take(self, key: Key, now: float) -> bool:
        """Take one token out of the bucket of a key; False if there is none left."""
        full_at = max(self._full_at.get(key, now), now) + self._interval_seconds
        if full_at > now + self._most_seconds:
            return False
        self._full_at[key] = full_at
        if len(self._full_at) > self._tidy_at:
            self._full_at = {each: at for each, at in self._full_at.items() if at > now}
            self._tidy_at = max(_FEW, 2 * len(self._full_at))
        return True

    def most_taken(self, now: float) -> float:
        """Return how many tokens the emptiest bucket lacks."""
        latest = max(self._full_at.values(), default=now)
        return max(latest - now, 0.0) / self._interval_seconds
