# SPDX-License-Identifier: Apache-2.0
"""How much of the store is whose: what one user's processes fill cannot be missing to others."""

from __future__ import annotations

from collections import Counter

NOBODY = 0  # whose the collector's own families are, and what an older store holds


def owner_of(uid: int) -> int:
    """Return what the log writes down for a user; NOBODY is no user's."""
    return uid + 1


def uid_of(owner: int) -> int:
    """Return the user of an owner that is not NOBODY."""
    return owner - 1


class Shares:
    """Bytes of the log, and cells, by owner."""

    def __init__(self) -> None:
        self._share = 1.0
        self._all_log_bytes = self._all_cells = 1
        self._log_bytes: Counter[int] = Counter()
        self._cells: Counter[int] = Counter()

    def divide(self, log_bytes: int, cells: int, share: float) -> None:
        """Say how much there is of both, and how much of it one user may have, from 0 to 1. All of
        it is no limit: nobody is told of a share then, but that there is no more."""
        self._all_log_bytes, self._all_cells, self._share = log_bytes, cells, share

    def add(self, owner: int, log_bytes: int, cells: int) -> None:
        """Count what an owner has come to have; less than zero, what it has no more."""
        self._log_bytes[owner] += log_bytes
        self._cells[owner] += cells
        if not self._log_bytes[owner] and not self._cells[owner]:
            del self._log_bytes[owner], self._cells[owner]

    def allow(self, owner: int, log_bytes: int, cells: int) -> bool:
        """Whether an owner may have so much more."""
        if owner == NOBODY or self._share >= 1:
            return True
        return (
            self._log_bytes[owner] + log_bytes <= self._share * self._all_log_bytes
            and self._cells[owner] + cells <= self._share * self._all_cells
        )

    def most(self) -> float:
        """Return how much the user has who has most, from 0 to 1: of what that user has more of."""
        owners = (self._log_bytes.keys() | self._cells.keys()) - {NOBODY}
        return max(
            (
                max(self._log_bytes[one] / self._all_log_bytes, self._cells[one] / self._all_cells)
                for one in owners
            ),
            default=0.0,
        )
