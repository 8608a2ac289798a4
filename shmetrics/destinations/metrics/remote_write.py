# SPDX-License-Identifier: Apache-2.0
"""Prometheus's remote write 1.0: snappy blocks of protocol buffers.

https://prometheus.io/docs/specs/prw/remote_write_spec. A series that is gone gets a stale marker,
so that its last value does not go on for five minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import cramjam
import numpy as np
import numpy.typing as npt

from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics.columns import Column, columns, names
from shmetrics.destinations.metrics.encoder import Encoded, Part, whole
from shmetrics.destinations.metrics.http_sender import HttpSender, Protocol
from shmetrics.destinations.metrics.label_fields import label_cache, label_field
from shmetrics.destinations.metrics.packing import Pack, packed
from shmetrics.destinations.metrics.snapshot import Additions, Snapshot
from shmetrics.render import _remote_write
from shmetrics.render.wire import bytes_field, number_field, utf8
from shmetrics.tables.table import Series, Table

#: About how large a request is before it is compressed.
REQUEST_BYTES: Final = 1024 * 1024
#: The number that says that a series is gone (Prometheus's model/value).
STALE_BITS: Final = 0x7FF0000000000002

METADATA = 3  # of WriteRequest
TYPE, FAMILY_NAME, HELP, UNIT = 1, 2, 4, 5  # of MetricMetadata
TYPES: Final = {"unknown": 0, "counter": 1, "gauge": 2, "histogram": 3, "info": 6}

PROTOCOL: Final = Protocol(
    {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
        "User-Agent": "shmetrics",
    },
    temporary=lambda status: status // 100 == 5 or status == 429,
)


def sender_of(settings: MetricsForward) -> HttpSender:
    """Return the sender of a destination. Raises ConfigError."""
    return HttpSender(settings, PROTOCOL)


class Rows(NamedTuple):
    """Rows of labels that are written.

    Attributes:
        series: their label values.
        n: how many rows there are.
        stamp_ms: the time of their samples, in milliseconds since 1970.
        table: the table that they are of; None for stale markers.
    """

    series: Series
    n: int
    stamp_ms: int
    table: Table | None = None


class _Written(NamedTuple):
    """The series of a table in a snapshot.

    Attributes:
        series: the label values.
        n: how many rows had numbers.
        names: name and `le` of each sample of a row.
    """

    series: Series
    n: int
    names: tuple[tuple[str, str], ...]


class RemoteWrite:
    """The format of remote write 1.0."""

    def __init__(self, additions: Additions, native: bool = False) -> None:
        """Choose the format.

        Args:
            additions: what is added to names and series.
            native: whether a histogram is a native one, where it is known.
        """
        self._prefix = additions.prefix
        self._constants = additions.labels
        self._native = native
        self._labels = label_cache(self._label)
        self._before: dict[str, _Written] = {}

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        packs = packed(self._all(snapshot), REQUEST_BYTES)
        return Encoded([self._part(pack, snapshot) for pack in packs])

    def _all(self, snapshot: Snapshot) -> Iterator[tuple[bytes, int]]:
        """Yield fields of WriteRequest, and how many series they are."""
        for table in snapshot.tables:
            yield self._metadata(table), 0
        before, self._before = self._before, {}
        stamp_ms = snapshot.time_ns // 10**6
        for table in snapshot.tables:
            written = _Written(table.series, len(table), tuple(self._names(table)))
            self._before[table.name] = written
            yield from self._series(table, stamp_ms)
            old = before.pop(table.name, None)
            if old is not None:
                yield from self._gone(old, written, stamp_ms)
        for old in before.values():
            yield from self._gone(old, None, stamp_ms)

    def _is_native(self, table: Table) -> bool:
        return self._native and table.native is not None

    def _names(self, table: Table) -> Iterator[tuple[str, str]]:
        if self._is_native(table):
            yield table.name, ""
            return
        yield from names(table)

    def _label(self, name: str, value: str) -> bytes:
        return label_field(name, value)

    def _family(
        self,
        rows: Rows,
        name: str,
        le: str = "",
        exemplars: npt.NDArray[np.uint8] | None = None,
    ) -> _remote_write.Family:
        """Return what series of a name have in common."""
        labels = self._labels.of(rows.series, self._constants, rows.n)
        return _remote_write.Family(
            self._label("__name__", self._prefix + name),
            self._label("le", le) if le else b"",
            *(labels.fields, labels.parts, rows.n, rows.stamp_ms),
            **self._beside(rows, exemplars),
        )

    def _beside(self, rows: Rows, exemplars: npt.NDArray[np.uint8] | None) -> dict[str, Any]:
        """Return what else this version says of series."""
        return {"exemplars": exemplars}

    def _series(self, table: Table, stamp_ms: int) -> Iterator[tuple[bytes, int]]:
        exemplars = table.exemplars.view(np.uint8) if len(table.exemplars) else None
        rows = Rows(table.series, len(table), stamp_ms, table)
        if self._is_native(table):
            native: Any = table.native
            sums = table.sums if table.has_sum else np.full(len(table), np.nan)
            family = self._family(rows, table.name, exemplars=exemplars)
            yield from _pieces(
                lambda at: family.histograms(native, sums, at, REQUEST_BYTES), len(table)
            )
            return
        for number, column in enumerate(columns(table)):
            # Exemplars are of a counter, or of a bucket.
            shown = exemplars if column.le or table.kind == "counter" else None
            yield from self._samples(rows, column, shown, number)

    def _samples(
        self,
        rows: Rows,
        column: Column,
        exemplars: npt.NDArray[np.uint8] | None = None,
        bucket: int = 0,
    ) -> Iterator[tuple[bytes, int]]:
        family = self._family(rows, column.name, column.le, exemplars)
        yield from _pieces(
            lambda at: family.samples(column.values, bucket, at, REQUEST_BYTES), rows.n
        )

    def _gone(
        self, old: _Written, new: _Written | None, stamp_ms: int
    ) -> Iterator[tuple[bytes, int]]:
        """Yield stale markers of the series that were there and are not."""
        kept_names = set(new.names) if new is not None else set()
        gone_names = [each for each in old.names if each not in kept_names]
        gone_rows = _gone_rows(old, new)
        for some_names, rows in (
            (gone_names, old.series.values[: old.n]),
            ([each for each in old.names if each in kept_names], gone_rows),
        ):
            if not some_names or not rows:  # mostly
                continue
            gone = Rows(Series(old.series.names, rows), len(rows), stamp_ms)
            markers = np.full(len(rows), STALE_BITS, np.uint64).view(np.float64)
            for name, le in some_names:
                yield from self._samples(gone, Column(name, le, False, markers))

    def _part(self, pack: Pack, snapshot: Snapshot) -> Part:
        return whole(compressed(pack.pieces), pack.n, snapshot)

    def _metadata(self, table: Table) -> bytes:
        name = utf8(self._prefix + table.full_name)
        said = number_field(TYPE, TYPES[table.kind]) + bytes_field(FAMILY_NAME, name)
        said += bytes_field(HELP, utf8(table.help)) + bytes_field(UNIT, utf8(table.unit))
        return bytes_field(METADATA, said)


def _gone_rows(old: _Written, new: _Written | None) -> list[tuple[str, ...]]:
    """Return the label values that were there and are not."""
    rows = old.series.values
    if new is not None and new.series is old.series:
        return rows[new.n : old.n]
    kept = set[tuple[str, ...]]()
    if new is not None and new.series.names == old.series.names:
        kept.update(new.series.values[: new.n])
    return [row for row in rows[: old.n] if row not in kept]


def _pieces(write: Callable[[int], tuple[bytes, int]], n: int) -> Iterator[tuple[bytes, int]]:
    """Yield what is written of all rows, a piece at a time, and how many rows it has."""
    at = 0
    while at < n:
        fields, end = write(at)
        yield fields, end - at
        at = end


def compressed(pieces: Sequence[bytes]) -> bytes:
    """Return pieces as one snappy block."""
    return bytes(cramjam.snappy.compress_raw(b"".join(pieces)))
