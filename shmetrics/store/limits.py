# SPDX-License-Identifier: Apache-2.0
"""The limits of what the store keeps for emitters."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """The limits of families and series. See `[store]` in docs/configuration.md.

    Attributes:
        series_per_family: series of one user's processes in one family.
        label_bytes: bytes of a label value.
        families: families of all emitters.
        families_per_lane: families that one lane defines.
        series_per_lane: series that one lane defines.
        exemplars: exemplars in memory.
        native_histograms: whether new families get exponential buckets, which take room.
        families_per_uid: families of one user's processes.
    """

    series_per_family: int = 20_000
    label_bytes: int = 1024
    families: int = 2000
    families_per_lane: int = 500
    series_per_lane: int = 100_000
    exemplars: int = 20_000
    native_histograms: bool = True
    families_per_uid: int = 1000

    def allow(self, values: tuple[str, ...]) -> bool:
        """Return whether these label values are short enough for a series."""
        return all(
            len(value) <= self.label_bytes and len(value.encode()) <= self.label_bytes
            for value in values
        )
