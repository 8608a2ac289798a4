# SPDX-License-Identifier: Apache-2.0
"""Prometheus's remote write 2.0, and 1.0 for a receiver without 2.0.

https://prometheus.io/docs/specs/prw/remote_write_spec_2_0. Labels are numbers of symbols, and every
series says what it is and since when it counts. The symbols of a destination are in each of its
requests, so that the text of a row's labels is the same in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics import remote_write
from shmetrics.destinations.metrics.encoder import Encoded, Part, whole
from shmetrics.destinations.metrics.http_sender import HttpSender, Protocol, RefusedStatus
from shmetrics.destinations.metrics.label_fields import label_cache
from shmetrics.destinations.metrics.packing import Pack
from shmetrics.destinations.metrics.remote_write import TYPES, RemoteWrite, Rows, compressed
from shmetrics.destinations.metrics.snapshot import Additions, Snapshot
from shmetrics.forwarding.sender import Outcome, Refused
from shmetrics.http_client import Answer
from shmetrics.render.wire import bytes_field, number_field, utf8, varint
from shmetrics.tables.table import Table

SYMBOLS = 4  # of Request
METADATA = 5  # of TimeSeries
TYPE, HELP_REF, UNIT_REF = 1, 3, 4  # of Metadata
_UNSUPPORTED: Final = 415
_WRITTEN: Final = (
    "X-Prometheus-Remote-Write-Samples-Written",
    "X-Prometheus-Remote-Write-Histograms-Written",
)
#: With so many more bytes of symbols than at their last begin, they begin anew.
_MOST_GROWTH_BYTES: Final = 1024 * 1024


class RequestV2(bytes):
    """A request of 2.0."""


class _Symbols:
    """The symbols of requests, by their number. The first one is empty."""

    def __init__(self) -> None:
        self.fields = bytearray(bytes_field(SYMBOLS, b""))
        self._numbers = {"": 0}

    def number(self, text: str) -> int:
        """Return the number of a symbol, which is added if it is new."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._numbers)
            self.fields += bytes_field(SYMBOLS, utf8(text))
        return number


class RemoteWrite2(RemoteWrite):
    """The format of remote write 2.0. It has no exemplars."""

    def __init__(self, additions: Additions, native: bool = False) -> None:
        """Choose the format; see RemoteWrite."""
        super().__init__(additions, native)
        self._begin()

    def _begin(self) -> None:
        self._symbols = _Symbols()
        self._labels = label_cache(self._label)
        self._begun_bytes = 0

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        n_bytes = len(self._symbols.fields)
        if self._begun_bytes and n_bytes > self._begun_bytes + _MOST_GROWTH_BYTES:
            self._begin()  # most of them are of series that are gone
        encoded = super().encode(snapshot)
        self._begun_bytes = self._begun_bytes or len(self._symbols.fields)
        return encoded

    def _label(self, name: str, value: str) -> bytes:
        return varint(self._symbols.number(name)) + varint(self._symbols.number(value))

    def _beside(self, rows: Rows, exemplars: npt.NDArray[np.uint8] | None) -> dict[str, Any]:
        created = None
        if rows.table is not None and rows.table.has_created:
            created = rows.table.created
        return {"metadata": self._said(rows.table), "created": created}

    def _said(self, table: Table | None) -> bytes:
        """Return the field of each series that says what it is."""
        if table is None:
            return b""
        help_, unit = self._symbols.number(table.help), self._symbols.number(table.unit)
        kind = number_field(TYPE, TYPES[table.kind])
        said = kind + number_field(HELP_REF, help_) + number_field(UNIT_REF, unit)
        return bytes_field(METADATA, said)

    def _metadata(self, table: Table) -> bytes:
        return b""

    def _part(self, pack: Pack, snapshot: Snapshot) -> Part:
        pieces = (bytes(self._symbols.fields), *pack.pieces)
        return whole(RequestV2(compressed(pieces)), pack.n, snapshot)


class Newest:
    """An encoder and a sender of 2.0 that become those of 1.0 once a receiver has no 2.0.

    What was written in 2.0 before that is refused.
    """

    def __init__(self, settings: MetricsForward, additions: Additions) -> None:
        """Prepare both versions. Raises ConfigError."""
        native = settings.native_histograms
        self._encoders = RemoteWrite2(additions, native), RemoteWrite(additions, native)
        self._senders = HttpSender(settings, PROTOCOL), remote_write.sender_of(settings)
        self._is_old = False

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        return self._encoders[self._is_old].encode(snapshot)

    def send(self, parts: Sequence[Part]) -> Outcome:
        """Send a part; see Sender."""
        (part,) = parts
        if not isinstance(part.content, RequestV2):
            return self._senders[1].send(parts)
        if self._is_old:
            raise Refused("was written in 2.0")
        try:
            return self._senders[0].send(parts)
        except RefusedStatus as problem:
            if problem.status == _UNSUPPORTED:
                self._is_old = True
            raise

    def close(self) -> None:
        """Do nothing: no connection is open between two parts."""


def written(part: Part, answer: Answer) -> Outcome:
    """Return what a receiver says that it has written.

    Raises:
        RefusedStatus: it says nothing, which only a receiver without 2.0 does.
    """
    said = [answer.headers.get(name, "") for name in _WRITTEN]
    if not any(said):
        raise RefusedStatus("takes remote write 1.0 only, and gets it from now on", _UNSUPPORTED)
    n = sum(int(each[:9]) for each in said if each.isascii() and each.isdigit())
    return Outcome(refused=max(part.n - n, 0))


PROTOCOL: Final = Protocol(
    {
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
        "User-Agent": "shmetrics",
    },
    temporary=remote_write.PROTOCOL.temporary,
    outcome=written,
)
