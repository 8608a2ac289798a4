# SPDX-License-Identifier: Apache-2.0
"""The labels of rows as remote write has them, in the order of all their names.

`__name__` and `le` have their places among them. So the text of each row has three parts: before
`__name__`, between these two, and behind `le`.
"""

from __future__ import annotations

import itertools
from array import array

from shmetrics.destinations.metrics.row_text import Write
from shmetrics.render.label_cache import Constants, LabelCache
from shmetrics.render.wire import bytes_field, utf8

LABEL = 1  # of TimeSeries
NAME, VALUE = 1, 2  # of Label
_PLACES = ("__name__", "le")


def label_field(name: str, value: str) -> bytes:
    """Return a label as a field of TimeSeries."""
    return bytes_field(LABEL, bytes_field(NAME, utf8(name)) + bytes_field(VALUE, utf8(value)))


def label_cache(write: Write) -> LabelCache[LabelFields]:
    """Return a cache of labels that are written like this."""
    return LabelCache(lambda names, constants, is_sparse: LabelFields(write, names, constants))


class LabelFields:
    """The labels of all rows of one Series, with the constant ones. Empty ones are left out.

    Attributes:
        fields: the labels, one row after the other.
        parts: offsets in `fields`: the begins of the three parts of each row, then the end.
    """

    __slots__ = ("_constants", "_places", "_rows", "_write", "fields", "parts")

    def __init__(self, write: Write, names: tuple[str, ...], constants: Constants) -> None:
        self._write = write
        self.fields = bytearray()
        self.parts = array("Q", [0])
        self._rows = 0
        # A label of the series itself overrides a constant one of the same name.
        added = [(name, value) for name, value in constants if name not in names]
        self._constants = tuple(value for _, value in added)
        all_names = (*names, *(name for name, _ in added))
        places = sorted((name, place) for place, name in enumerate(all_names))
        bounds = ("", *_PLACES, "\U0010ffff")
        self._places = [
            [(name, place) for name, place in places if low <= name < high]
            for low, high in itertools.pairwise(bounds)
        ]

    def extend(self, rows: list[tuple[str, ...]], end: int | None = None) -> None:
        """Add the labels of the rows before *end* that are new since the last call."""
        for row in rows[self._rows : end]:
            values = (*row, *self._constants)
            for part in self._places:
                for name, place in part:
                    if values[place]:
                        self.fields += self._write(name, values[place])
                self.parts.append(len(self.fields))
            self._rows += 1
