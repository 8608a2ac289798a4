# SPDX-License-Identifier: Apache-2.0
"""The reading of a lane's dictionary: the entry at hand, and whether it is counted.

What an entry adds to the counters of the collector it adds once, by the collector that reads it
first: the lane's ledger remembers it over restarts.
"""

from __future__ import annotations

from shmetrics.lanes import _drain


class Reading:
    """The reading of one lane's dictionary, entry by entry.

    Attributes:
        is_again: whether the series at hand have been read, and counted, before.
    """

    def __init__(self, drain: _drain.LaneDrain) -> None:
        """Begin before the first entry.

        Args:
            drain: the lane's drain.
        """
        self.is_again = False
        self._drain = drain
        self._entries = 0

    def begin(self) -> None:
        """Begin the next entry."""
        self._entries += 1

    def count(self, cell: int = -1) -> bool:
        """Count the entry at hand as read, and add 1 to a cell if no collector has done so before.

        Args:
            cell: the index of the cell in the store; -1 for none.

        Returns:
            False if an earlier collector has counted this entry.
        """
        return self._drain.report(_drain.REPORT_ENTRIES, self._entries, cell)
