# SPDX-License-Identifier: Apache-2.0
"""Graphite's formats: a line per series, or a pickled list.

    path;topic=compute;le=0.5 5.0 1600000000
    path.topic.compute.le.0%2E5 5.0 1600000000

https://graphite.readthedocs.io/en/stable/feeding-carbon.html, tags.html. What a path or a tag
cannot have is written as %XX, so that different label sets stay different.
"""

from __future__ import annotations

import functools
import struct
from typing import Final

from shmetrics.destinations.metrics.columns import Column
from shmetrics.destinations.metrics.encoder import Encoded, Part, whole
from shmetrics.destinations.metrics.packing import Pack, Text, packed
from shmetrics.destinations.metrics.row_text import RowTexts
from shmetrics.destinations.metrics.snapshot import Additions, Snapshot
from shmetrics.render import _lines

_NODE: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_VALUE: Final = _NODE | frozenset(b".:/+=@()[],<>")  # beside these, a tag has no ; and no ~ first


@functools.lru_cache(maxsize=16 * 1024)
def _encoded(text: str, is_tag: bool) -> bytes:
    allowed = _VALUE if is_tag else _NODE
    return b"".join(
        b"%c" % byte if byte in allowed else b"%%%02X" % byte
        for byte in text.encode(errors="replace")
    )


def tag(name: str, value: str) -> bytes:
    """Return a label as a tag behind a path."""
    return b";%s=%s" % (name.encode(), _encoded(value, True))


def nodes(name: str, value: str) -> bytes:
    """Return a label as two more nodes of a path."""
    return b".%s.%s" % (name.encode(), _encoded(value, False))


class Graphite:
    """The formats of Graphite. A number that is none, or has no end, is left out."""

    def __init__(self, additions: Additions, tags: bool = True, is_pickle: bool = False) -> None:
        """Choose the format.

        Args:
            additions: what is added to names and series.
            tags: whether labels are tags; otherwise they are nodes of the path.
            is_pickle: pickled lists instead of lines.
        """
        self._prefix = additions.prefix
        self._write = tag if tags else nodes
        self._labels = RowTexts(self._write, additions.labels)
        self._is_pickle = is_pickle

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        seconds = snapshot.time_ns // 10**9
        text = Text(snapshot, self._labels, lambda column: self._line(column, seconds))
        parts = [self._part(pack, snapshot) for pack in packed(text.pieces())]
        return Encoded(parts, text.n_unfit)

    def _line(self, column: Column, seconds: int) -> _lines.Line:
        path = f"{self._prefix}{column.name}".encode()
        le = self._write("le", column.le) if column.le else b""
        if not self._is_pickle:
            return _lines.Line(path, le + b" ", b"", b" %d\n" % seconds)
        # Opcodes of pickle's protocol 2: a text up to the newline, a number, a double, two tuples.
        stamp = b"\x8a\x08" + struct.pack("<q", seconds)
        return _lines.Line(b"V" + path, le + b"\n" + stamp + b"G", b"\x86\x86", b"", is_binary=True)

    def _part(self, pack: Pack, snapshot: Snapshot) -> Part:
        body = b"".join(pack.pieces)
        if self._is_pickle:
            body = b"\x80\x02](" + body + b"e."
            body = struct.pack(">L", len(body)) + body
        return whole(body, pack.n, snapshot)
