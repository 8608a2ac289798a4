# SPDX-License-Identifier: Apache-2.0
"""How much of the emitters' families is kept."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What bounds the memory of the families. series_per_family: of one user's processes."""

    series_per_family: int = 20_000
    label_bytes: int = 1024
    families: int = 2000
    families_per_lane: int = 500
    series_per_lane: int = 20_000
    exemplars: int = 20_000
    native_histograms: bool = True  # whether new families have buckets that take room for it
    families_per_uid: int = 1000

    def allow(self, values: tuple[str, ...]) -> bool:
        """Whether these label values are short enough to have a series."""
        return all(
            len(value) <= self.label_bytes and len(value.encode()) <= self.label_bytes
            for value in values
        )
