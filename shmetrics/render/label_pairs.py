# SPDX-License-Identifier: Apache-2.0
"""The labels of series as protocol buffers, made once per series."""

from __future__ import annotations

from array import array

from shmetrics.render.label_cache import Constants, LabelCache
from shmetrics.render.wire import bytes_field, utf8
from shmetrics.tables.table import Series

LABEL = 1  # of io.prometheus.client.Metric
NAME, VALUE = 1, 2  # of LabelPair


class LabelPairs:
    """The labels of all rows of one Series, with the constant labels, sorted by name.

    Attributes:
        fields: the label fields of the Metric messages, one row after the other.
        ends: offsets in `fields`: the begin of the first row, then the end of each row.
    """

    __slots__ = ("_constants", "_is_sparse", "_names", "_rows", "ends", "fields")

    def __init__(
        self, names: tuple[str, ...], constants: Constants, is_sparse: bool = False
    ) -> None:
        self._is_sparse = is_sparse
        self.fields = bytearray()
        self.ends = array("Q", [0])
        self._rows = 0
        # A label of the series itself overrides a constant one of the same name.
        added = [(name, value) for name, value in constants if name not in names]
        self._constants = tuple(value for _, value in added)
        all_names = (*names, *(name for name, _ in added))
        places = sorted((name, place) for place, name in enumerate(all_names))
        self._names = [(bytes_field(NAME, utf8(name)), place) for name, place in places]

    def extend(self, rows: list[tuple[str, ...]], end: int | None = None) -> None:
        """Add the labels of the rows before *end* that are new since the last call."""
        for row in rows[self._rows : end]:
            values = (*row, *self._constants)
            for name, place in self._names:
                if self._is_sparse and not values[place]:
                    continue
                pair = name + bytes_field(VALUE, utf8(values[place]))
                self.fields += bytes_field(LABEL, pair)
            self.ends.append(len(self.fields))
            self._rows += 1


_cache = LabelCache(LabelPairs)


def label_pairs(series: Series, constants: Constants, end: int | None = None) -> LabelPairs:
    """Return the label pairs of a series, at least of the rows before *end*."""
    return _cache.of(series, constants, end)
