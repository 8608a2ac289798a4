# SPDX-License-Identifier: Apache-2.0
"""The labels of rows as some format writes them, made once per series."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from shmetrics.render.label_cache import Constants, LabelCache
from shmetrics.tables.table import Table

#: Writes a label, of its name and its value.
Write = Callable[[str, str], bytes]


class RowText:
    """The labels of all rows of one Series, with the constant ones, sorted by name.

    Labels without a value are left out: to Prometheus they are none.

    Attributes:
        text: the labels, one row after the other.
        ends: offsets in `text`: the begin of the first row, then the end of each row.
    """

    __slots__ = ("_constants", "_places", "_rows", "_separator", "_write", "ends", "text")

    def __init__(
        self, write: Write, separator: bytes, names: tuple[str, ...], constants: Constants
    ) -> None:
        self._write = write
        self._separator = separator
        self.text = bytearray()
        self.ends = array("Q", [0])
        self._rows = 0
        # A label of the series itself overrides a constant one of the same name.
        added = [(name, value) for name, value in constants if name not in names]
        self._constants = tuple(value for _, value in added)
        all_names = (*names, *(name for name, _ in added))
        self._places = sorted((name, place) for place, name in enumerate(all_names))

    def extend(self, rows: list[tuple[str, ...]], end: int | None = None) -> None:
        """Add the labels of the rows before *end* that are new since the last call."""
        write, places, separator = self._write, self._places, self._separator
        for row in rows[self._rows : end]:
            values = (*row, *self._constants)
            self.text += separator.join(
                [write(name, values[place]) for name, place in places if values[place]]
            )
            self.ends.append(len(self.text))
            self._rows += 1


class RowTexts:
    """The labels of every table, as one format writes them."""

    def __init__(self, write: Write, constants: Constants, separator: bytes = b"") -> None:
        """Choose how labels are written.

        Args:
            write: writes a label.
            constants: the labels that every row gets.
            separator: what is between two labels.
        """
        self._constants = constants
        self._cache: LabelCache[RowText] = LabelCache(
            lambda names, added, is_sparse: RowText(write, separator, names, added)
        )

    def of(self, table: Table) -> RowText:
        """Return the labels of at least all rows of a table."""
        return self._cache.of(table.series, self._constants, len(table))
