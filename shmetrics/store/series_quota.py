# SPDX-License-Identifier: Apache-2.0
"""The quota of one family's series: each owner may have so many of them."""

from __future__ import annotations

from collections import Counter


class SeriesQuota:
    """The numbers of series in one family, by owner, and their limit."""

    def __init__(self, limit: int) -> None:
        """Begin without series.

        Args:
            limit: the most series of one owner.
        """
        self._limit = limit
        self._n_of: Counter[int] = Counter()

    def add(self, owner: int, n: int) -> None:
        """Count so many series more of an owner; a negative number are those that are gone."""
        self._n_of[owner] += n

    def is_reached(self, owner: int) -> bool:
        """Return whether an owner may have no more series."""
        return self._n_of[owner] >= self._limit

    def short(self, part: int) -> list[int]:
        """Return the owners who have less than 1/part of their limit left."""
        most = self._limit - self._limit // part
        return [owner for owner, n in self._n_of.items() if n > most]

    def most(self) -> int:
        """Return the number of series of the owner that has the most."""
        return max(self._n_of.values(), default=0)
