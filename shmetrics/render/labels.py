# SPDX-License-Identifier: Apache-2.0
"""The labels of series as text, escaped once per series.

A histogram has the label `le` at its place in the order of names. So the text of each row has a
part before `le` and a part after it.
"""

from __future__ import annotations

from array import array
from functools import lru_cache

from shmetrics.escaping import is_classic_label, is_classic_metric
from shmetrics.render._text import text_escape, text_number
from shmetrics.render.label_cache import Constants, LabelCache
from shmetrics.tables.table import Series


class LabelText:
    """The labels of all rows of one Series, with the constant labels, sorted by name.

    Attributes:
        text: the labels, one row after the other.
        parts: offsets in `text`: the begins of the two parts of each row, then the end of the last
            part. If a row has both parts, the first one ends with a comma.
    """

    __slots__ = ("_after", "_before", "_constants", "_is_sparse", "_rows", "parts", "text")

    def __init__(
        self, names: tuple[str, ...], constants: Constants, is_sparse: bool = False
    ) -> None:
        self._is_sparse = is_sparse
        self.text = bytearray()
        self.parts = array("Q", [0])
        self._rows = 0
        # A label of the series itself overrides a constant one of the same name.
        added = [(name, value) for name, value in constants if name not in names]
        self._constants = tuple(value for _, value in added)
        places = sorted(
            (name, place) for place, name in enumerate((*names, *(name for name, _ in added)))
        )
        self._before = [(_opening(name), place) for name, place in places if name < "le"]
        self._after = [(_opening(name), place) for name, place in places if name >= "le"]

    def extend(self, rows: list[tuple[str, ...]], end: int | None = None) -> None:
        """Add the labels of the rows before *end* that are new since the last call."""
        for row in rows[self._rows : end]:
            values = [text_escape(value) for value in (*row, *self._constants)]
            before = _joined(self._before, values, self._is_sparse)
            after = _joined(self._after, values, self._is_sparse)
            self.text += before
            if before and after:
                self.text += b","
            self.parts.append(len(self.text))
            self.text += after
            self.parts.append(len(self.text))
            self._rows += 1


def _joined(places: list[tuple[bytes, int]], values: list[bytes], is_sparse: bool) -> bytes:
    if is_sparse:
        places = [(opening, at) for opening, at in places if values[at]]
    return b",".join([b'%b%b"' % (opening, values[at]) for opening, at in places])


def _opening(name: str) -> bytes:
    written = name.encode() if is_classic_label(name) else b'"%b"' % text_escape(name)
    return written + b'="'


def written_name(name: str) -> str:
    """Return a metric's name as the comments of a family have it: quoted unless it is classic."""
    return name if is_classic_metric(name) else f'"{text_escape(name).decode()}"'


_cache = LabelCache(LabelText)


def label_text(series: Series, constants: Constants, end: int | None = None) -> LabelText:
    """Return the label text of a series, at least of the rows before *end*."""
    return _cache.of(series, constants, end)


def le_text(bounds: tuple[float, ...]) -> tuple[bytes, array[int]]:
    """Return the `le` labels of a histogram's buckets, +Inf last.

    Args:
        bounds: the finite upper bounds.

    Returns:
        The labels as text, and offsets in it: the begin of each label, then the end of the last.
    """
    return _le_text(array("d", bounds).tobytes())


@lru_cache(maxsize=1024)
def _le_text(doubles: bytes) -> tuple[bytes, array[int]]:
    # The key is bytes, because 0.0 and -0.0 would be the same key.
    text = b""
    offsets = array("Q", [0])
    for bound in (*array("d", doubles), float("inf")):
        text += b'le="%b"' % text_number(bound)
        offsets.append(len(text))
    return text, offsets
