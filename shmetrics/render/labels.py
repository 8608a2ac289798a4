# SPDX-License-Identifier: Apache-2.0
"""Label text, escaped once per series.

A histogram puts `le` among its labels, where its name sorts: each row therefore has a part before
le and a part after it.
"""

from __future__ import annotations

from array import array
from functools import lru_cache

from shmetrics.render._text import text_escape, text_number
from shmetrics.render.label_cache import Constants, LabelCache
from shmetrics.tables.table import Series


class LabelText:
    """The labels of all rows of one Series, together with the constant ones, sorted by name.

    text: the labels of one row after the other.
    parts: where in text each row's two parts begin, and at the end where the last one ends. If a
        row has both, the first one ends in a comma.
    """

    __slots__ = ("_after", "_before", "_constants", "_rows", "parts", "text")

    def __init__(self, names: tuple[str, ...], constants: Constants) -> None:
        self.text = bytearray()
        self.parts = array("Q", [0])
        self._rows = 0
        # A series' own label wins over a constant one of the same name.
        added = [(name, value) for name, value in constants if name not in names]
        self._constants = tuple(value for _, value in added)
        places = sorted(
            (name, place) for place, name in enumerate((*names, *(name for name, _ in added)))
        )
        self._before = [(_opening(name), place) for name, place in places if name < "le"]
        self._after = [(_opening(name), place) for name, place in places if name >= "le"]

    def extend(self, rows: list[tuple[str, ...]], end: int | None = None) -> None:
        """Takes in the rows up to end that were added since the last time."""
        for row in rows[self._rows : end]:
            values = [text_escape(value) for value in (*row, *self._constants)]
            before = b",".join([b'%b%b"' % (opening, values[at]) for opening, at in self._before])
            after = b",".join([b'%b%b"' % (opening, values[at]) for opening, at in self._after])
            self.text += before
            if before and after:
                self.text += b","
            self.parts.append(len(self.text))
            self.text += after
            self.parts.append(len(self.text))
            self._rows += 1


def _opening(name: str) -> bytes:
    return f'{name}="'.encode()


_cache = LabelCache(LabelText)


def label_text(series: Series, constants: Constants, end: int | None = None) -> LabelText:
    """The label text of the rows that series has now; of those up to end at least."""
    return _cache.of(series, constants, end)


def le_text(bounds: tuple[float, ...]) -> tuple[bytes, array[int]]:
    """The le labels of a histogram's buckets, +Inf last; where each begins and the last ends."""
    return _le_text(array("d", bounds).tobytes())


@lru_cache(maxsize=1024)
def _le_text(doubles: bytes) -> tuple[bytes, array[int]]:
    # By their bytes: as keys 0.0 and -0.0 would be the same.
    text = b""
    offsets = array("Q", [0])
    for bound in (*array("d", doubles), float("inf")):
        text += b'le="%b"' % text_number(bound)
        offsets.append(len(text))
    return text, offsets
