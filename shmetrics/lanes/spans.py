# SPDX-License-Identifier: Apache-2.0
"""Spans on their way from the lanes to the trace store.

The drain has checked their records: each has as many bytes of info behind it as it says. The
content of the info is the emitter's own; if it is no MessagePack map, the span has no info.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from shmetrics import layout
from shmetrics.lanes import _drain
from shmetrics.lanes.wall_clock import WallClock
from shmetrics.traces.event import SpanEvent, SpanLabels

_SPAN: Final = struct.Struct(_drain.TAKEN_SPAN_FORMAT)
# Looked up once for the loop over events.
_unpack: Final = _SPAN.unpack_from
_new: Final = tuple.__new__
_START, _CUT, _HOST = layout.KIND_SPAN_START, layout.FLAG_CUT, layout.FLAG_HOST
# The buffer between two drains: it lasts for 4 ms of nothing but spans.
BUFFER_BYTES: Final = 4 * 1024 * 1024

_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


class SpanRecords(NamedTuple):
    """The spans that one drain of a lane brought, undecoded: decoding is not the drain's work.

    Attributes:
        records: the bytes of the records, see csrc/drain/spans.h.
        n: the number of starts and stops.
        labels_of_series: the labels of the spans, by the id of their series, as far as the lane may
            have so many. The lane goes on filling it.
        lane: the lane's id.
        monotonic_ns: the monotonic clock at the drain.
        unix_ns: the wall clock at the drain.
    """

    records: bytes
    n: int
    labels_of_series: Mapping[int, SpanLabels]
    lane: int
    monotonic_ns: int
    unix_ns: int


class Spans:
    """Takes the spans out of the lanes as they are drained."""

    def __init__(
        self,
        put: Callable[[SpanRecords], None],
        ended: Callable[[int], None],
        close: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin with an empty buffer.

        Args:
            put: called with the spans of each drain that brought some.
            ended: called with the id of a lane whose process is gone, after its last spans.
            close: called after the last spans of all, while the collector can still count what
                became of them.
        """
        self._put = put
        self.ended = ended
        self.close = close
        self.nameless = 0  # starts and stops of series beyond those that a lane may have
        self._buffer = _drain.SpanBuffer(BUFFER_BYTES)
        self._clock = WallClock()

    @property
    def lost(self) -> int:
        """Return the number of starts and stops for which the buffer had no room."""
        return self._buffer.lost

    @property
    def clock_steps(self) -> int:
        """Return how often the wall clock was set between two drains that brought spans."""
        return self._clock.steps

    def attach_to(self, drain: _drain.LaneDrain) -> None:
        """Let a lane's drain put the lane's spans into the buffer from now on."""
        drain.keep_spans(self._buffer)

    def take(self, lane: int, labels_of_series: Mapping[int, SpanLabels]) -> None:
        """Hand on the spans that the lane's drain has brought."""
        records, n = self._buffer.take()
        if n:
            self._put(SpanRecords(records, n, labels_of_series, lane, *self._clock.now()))

    def events(self, span_records: SpanRecords) -> Iterator[SpanEvent]:
        """Decode records into span events. Runs in another thread than the drain."""
        records, _, labels_of_series, lane, now_ns, now_unix_ns = span_records
        booted_unix_ns = now_unix_ns - now_ns
        at, end = 0, len(records)
        while at < end:
            kind, flags, info_bytes, series, stamp_ns, id, trace, parent = _unpack(records, at)
            info_at = at + _SPAN.size
            at = info_at + info_bytes
            labels = labels_of_series.get(series)
            if labels is None:  # the lane has more series than it may
                self.nameless += 1
                continue
            info, cut = _info(records[info_at:at]) if info_bytes else ({}, "")
            if flags & _HOST:
                info["host"] = labels.host
            # An emitter can write any stamp; one in the future counts as now.
            unix_ns = booted_unix_ns + min(stamp_ns, now_ns)
            cut = "size" if flags & _CUT else cut
            fields = kind == _START, id, trace, parent, *labels, unix_ns, info, cut, lane
            yield _new(SpanEvent, fields)  # SpanEvent(...) would take 1 µs more


def _info(raw: bytes) -> tuple[dict[str, Any], str]:
    """Decode a span's info.

    Returns:
        The map and "", or {} and the reason: "depth" or "malformed". The size of a map is limited
        where it is written, see traces/info.py.
    """
    try:
        return _decode(raw), ""
    except RecursionError:
        return {}, "depth"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}, "malformed"
