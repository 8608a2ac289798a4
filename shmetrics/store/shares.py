# SPDX-License-Identifier: Apache-2.0
"""Shares of the store: one user's processes cannot fill what other users' processes need."""

from __future__ import annotations

from collections import Counter

NOBODY = 0  # the owner of the collector's own families, and of what an older version wrote


def owner_of(uid: int) -> int:
    """Return the owner that the log writes down for a user; NOBODY is no user's."""
    return uid + 1


def uid_of(owner: int) -> int:
    """Return the user of an owner that is not NOBODY."""
    return owner - 1


class Shares:
    """Bytes of the log, and cells, by owner."""

    def __init__(self) -> None:
        """Begin with nothing counted and no limit."""
        self._share = 1.0
        self._all_log_bytes = self._all_cells = 1
        self._log_bytes: Counter[int] = Counter()
        self._cells: Counter[int] = Counter()

    def divide(self, log_bytes: int, cells: int, share: float) -> None:
        """Set the room that is shared, and the limit of one user.

        Args:
            log_bytes: all bytes of the log.
            cells: all cells.
            share: what one user may have of each, from 0 to 1. With 1 there is no limit: a full
                store is then reported as such, and not as a user's full share.
        """
        self._all_log_bytes, self._all_cells, self._share = log_bytes, cells, share

    def add(self, owner: int, log_bytes: int, cells: int) -> None:
        """Count what an owner has got; negative numbers are what it has given back."""
        self._log_bytes[owner] += log_bytes
        self._cells[owner] += cells
        if not self._log_bytes[owner] and not self._cells[owner]:
            del self._log_bytes[owner], self._cells[owner]

    def allow(self, owner: int, log_bytes: int, cells: int) -> bool:
        """Return whether an owner may have so much more."""
        if owner == NOBODY or self._share >= 1:
            return True
        return (
            self._log_bytes[owner] + log_bytes <= self._share * self._all_log_bytes
            and self._cells[owner] + cells <= self._share * self._all_cells
        )

    def short(self, part: int) -> list[int]:
        """Return the owners who have less than 1/part of their share free."""
        rest = self._share / part
        log_bytes, cells = int(rest * self._all_log_bytes), int(rest * self._all_cells)
        return [owner for owner in self._log_bytes if not self.allow(owner, log_bytes, cells)]

    def largest(self) -> float:
        """Return the largest share of a user, from 0 to 1, of the log or of the cells."""
        owners = (self._log_bytes.keys() | self._cells.keys()) - {NOBODY}
        return max(
            (
                max(
                    self._log_bytes[owner] / self._all_log_bytes,
                    self._cells[owner] / self._all_cells,
                )
                for owner in owners
            ),
            default=0.0,
        )
