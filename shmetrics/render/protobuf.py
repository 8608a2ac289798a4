# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers for Prometheus, the only format with native histograms.

The body is one MetricFamily message after the other, each after its length. client_model's
metrics.proto defines the fields, and the numbers here are from there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from shmetrics.render import _proto
from shmetrics.render.label_cache import Constants
from shmetrics.render.label_pairs import label_pairs
from shmetrics.render.row_slice import check
from shmetrics.render.wire import bytes_field, number_field, utf8, varint
from shmetrics.tables.table import Table

CONTENT_TYPE = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

PIECE_BYTES = 256 * 1024
# Labels of so many rows are made per step: for a new series they take longer than all the rest of
# its message.
MOST_ROWS = 1000

NAME, HELP, TYPE, UNIT = 1, 2, 3, 5  # of MetricFamily
# There are fewer types than in OpenMetrics.
_TYPES = {"counter": 0, "gauge": 1, "info": 1, "unknown": 3, "histogram": 4}
_KINDS = {
    "counter": _proto.COUNTER,
    "gauge": _proto.GAUGE,
    "info": _proto.GAUGE,
    "unknown": _proto.UNTYPED,
}


def pieces(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> Iterator[bytes]:
    """Return the messages of tables, in pieces of PIECE_BYTES or a little more.

    Some pieces are empty: the length of a message comes first, and depends on all its labels, which
    are made in steps. A table without series has no message, because some readers refuse a family
    without metrics.

    Args:
        tables: the tables, in the order of the messages.
        constant_labels: labels added to every series that has no label of that name.

    Raises:
        ValueError: before the first piece, if the arrays of a table do not fit each other or its
            series.
    """
    metrics = []
    for table in tables:
        check(table)
        if len(table):
            metrics.append((table, _metrics(table)))
    return _pieces(metrics, tuple(constant_labels.items()))


def render(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> bytes:
    """Return the messages of tables, in one piece."""
    return b"".join(pieces(tables, constant_labels))


def _pieces(metrics: list[tuple[Table, _proto.Metrics]], constants: Constants) -> Iterator[bytes]:
    made: list[bytes] = []
    room_bytes = PIECE_BYTES
    for table, rows in metrics:
        for end in range(MOST_ROWS, len(rows), MOST_ROWS):
            label_pairs(table.series, constants, end)
            yield b""
        labels = label_pairs(table.series, constants, len(rows))
        head = _head(table)
        made.append(varint(len(head) + rows.measure(labels.ends)) + head)
        room_bytes -= len(made[-1])
        row = 0
        while row < len(rows):
            piece, row = rows.piece(labels.fields, labels.ends, row, max(room_bytes, 0))
            made.append(piece)
            room_bytes -= len(piece)
            if room_bytes <= 0 or row < len(rows):
                yield b"".join(made)
                made, room_bytes = [], PIECE_BYTES
    if made:
        yield b"".join(made)


def _metrics(table: Table) -> _proto.Metrics:
    created = table.created if table.has_created else None
    exemplars = table.exemplars.view(np.uint8)
    if table.kind != "histogram":
        return _proto.scalars(_KINDS[table.kind], table.values, created, exemplars)
    bounds = array("d", (*table.bounds, float("inf")))
    return _proto.histograms(bounds, table.buckets, table.sums, created, table.native, exemplars)


def _head(table: Table) -> bytes:
    """Return the fields of a MetricFamily without its metrics."""
    return (
        bytes_field(NAME, utf8(table.full_name))
        + bytes_field(HELP, utf8(table.help))
        + number_field(TYPE, _TYPES[table.kind])
        + (bytes_field(UNIT, utf8(table.unit)) if table.unit else b"")
    )
