# SPDX-License-Identifier: Apache-2.0
"""StatsD's lines in datagrams, with labels as DogStatsD's tags, or in the name.

    name:5.0|c|#topic:compute,le:0.5
    name.topic.compute:5.0|c

https://github.com/statsd/statsd/blob/master/docs/metric_types.md,
https://docs.datadoghq.com/developers/dogstatsd/datagram_shell. A counter is what it has grown by. A
gauge with a sign is relative to the last one, so a negative one comes after a zero.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from shmetrics.destinations.metrics.columns import Column, columns
from shmetrics.destinations.metrics.deltas import Deltas
from shmetrics.destinations.metrics.encoder import Encoded, Part, pieces
from shmetrics.destinations.metrics.graphite import nodes
from shmetrics.destinations.metrics.packing import PART_BYTES, Pack, packed
from shmetrics.destinations.metrics.row_text import RowText, RowTexts
from shmetrics.destinations.metrics.snapshot import Additions, Snapshot
from shmetrics.render import _lines

#: What an Ethernet frame has room for, after the headers of IPv6 and of tunnels.
MOST_DATAGRAM_BYTES: Final = 1432
_NOT_IN_TAGS: Final = frozenset(b"|,#;%\x7f")


@functools.lru_cache(maxsize=16 * 1024)
def _encoded(text: str) -> bytes:
    return b"".join(
        b"%%%02X" % byte if byte <= 32 or byte in _NOT_IN_TAGS else b"%c" % byte
        for byte in text.encode(errors="replace")
    )


def tag(name: str, value: str) -> bytes:
    """Return a label as a tag."""
    return b"%s:%s" % (name.encode(), _encoded(value))


class Statsd:
    """The format of StatsD. A number that is none, or has no end, is left out."""

    def __init__(self, additions: Additions, begin_ns: int, tags: bool = True) -> None:
        """Choose the format.

        Args:
            additions: what is added to names and series.
            begin_ns: the time from which on counters are sent, in nanoseconds since 1970.
            tags: whether labels are tags; otherwise they are in the name.
        """
        self._prefix = additions.prefix
        self._has_tags = tags
        self._labels = (
            RowTexts(tag, additions.labels, b",") if tags else RowTexts(nodes, additions.labels)
        )
        self._deltas = Deltas(begin_ns)
        self._n_unfit = 0  # in the snapshot that is being encoded

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        self._n_unfit = 0
        parts = [_part(pack, snapshot) for pack in packed(self._all(snapshot))]
        return Encoded(parts, self._n_unfit)

    def _all(self, snapshot: Snapshot) -> Iterator[tuple[bytes, int]]:
        """Yield lines, and how many series they are."""
        for table in self._deltas.take(snapshot):
            labels = self._labels.of(table)
            for column in columns(table):
                is_finite = np.isfinite(column.values)
                self._n_unfit += len(column.values) - int(is_finite.sum())
                yield from self._texts(column, labels, is_finite)

    def _texts(
        self, column: Column, labels: RowText, is_finite: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[bytes, int]]:
        """Yield the lines of a column, and how many series they are."""
        if column.is_cumulative:
            yield from self._text_of(column, labels, is_finite & (column.values != 0), b"|c")
            return
        is_negative = column.values < 0
        yield from self._text_of(column, labels, is_finite & ~is_negative, b"|g")
        yield from self._text_of(column, labels, is_finite & is_negative, b"|g", zero_first=True)

    def _text_of(
        self,
        column: Column,
        labels: RowText,
        is_wanted: npt.NDArray[np.bool_],
        kind: bytes,
        zero_first: bool = False,
    ) -> Iterator[tuple[bytes, int]]:
        """Yield the lines of some rows; zero_first: each after a zero, which has its end in
        _JOINED."""
        ends = np.frombuffer(labels.ends, np.uint64)[: len(column.values) + 1]
        has_labels = ends[1:] > ends[:-1]
        for has_some in (True, False):
            rows = np.flatnonzero(is_wanted & (has_labels == has_some)).astype(np.uint64)
            if not len(rows):
                continue
            line = self._line(column, kind, has_some)
            if zero_first:
                zeros = np.zeros(len(column.values))
                for row in rows:
                    one = row.reshape(1)
                    zero, _ = _lines.write(line, labels.text, labels.ends, zeros, one, 0, 1)
                    text, _ = _lines.write(line, labels.text, labels.ends, column.values, one, 0, 1)
                    yield zero[:-1] + _JOINED + text, 1
                continue
            start = 0
            while start < len(rows):
                at = start
                text, start = _lines.write(
                    line, labels.text, labels.ends, column.values, rows, at, PART_BYTES
                )
                yield text, start - at

    def _line(self, column: Column, kind: bytes, has_labels: bool) -> _lines.Line:
        """Return the form of lines; has_labels: whether its rows have any."""
        name = f"{self._prefix}{column.name}".encode()
        if not self._has_tags:
            le = nodes("le", column.le) if column.le else b""
            return _lines.Line(name, le + b":", kind, b"\n")
        le = tag("le", column.le) if column.le else b""
        if not (le or has_labels):
            return _lines.Line(name, b":", kind, b"\n")
        comma = b"," if le and has_labels else b""
        return _lines.Line(name, b":", kind + b"|#" + le + comma, b"\n", labels_last=True)


# Between two lines that have to be in one datagram.
_JOINED: Final = b"\r"


def _part(pack: Pack, snapshot: Snapshot) -> Part:
    text = b"".join(pack.pieces)
    found = _lines.datagrams(text, MOST_DATAGRAM_BYTES)
    if _JOINED in text:
        found = [(datagram.replace(_JOINED, b"\n"), n) for datagram, n in found]
    return pieces(found, pack.n, len(text), snapshot)
