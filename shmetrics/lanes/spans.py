# SPDX-License-Identifier: Apache-2.0
"""Spans on their way from the lanes to whoever puts traces together.

The drain has checked their records: each has as many bytes of info behind it as it says. What the
info says is the emitter's own; if it is no map, there is none.
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
# Of what is between two drains: 4 ms of nothing but spans.
BUFFER_BYTES: Final = 4 * 1024 * 1024

_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


class SpanRecords(NamedTuple):
    """What one drain of a lane has brought, undecoded: that is not the drain's work.

    labels_of_series: by id of a series, as far as the lane was allowed to have them; the lane goes
    on filling it. The clocks are those of the drain.
    """

    records: bytes
    n: int  # starts and stops
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
        """put is given what there is; ended, after the last of it, the lane whose process is
        gone; close is called after the last of all, while what comes of it can still be
        counted."""
        self._put = put
        self.ended = ended
        self.close = close
        self.nameless = 0  # starts and stops of series that the collector took no note of
        self._buffer = _drain.SpanBuffer(BUFFER_BYTES)
        self._clock = WallClock()

    @property
    def lost(self) -> int:
        """Spans that the buffer between two drains had no room for."""
        return self._buffer.lost

    @property
    def clock_steps(self) -> int:
        """How often the wall clock was set between two drains with spans."""
        return self._clock.steps

    def keep_from(self, drain: _drain.LaneDrain) -> None:
        """From now on, those of this lane are taken."""
        drain.keep_spans(self._buffer)

    def take(self, lane: int, labels_of_series: Mapping[int, SpanLabels]) -> None:
        """Hands on what the lane's drain has brought."""
        records, n = self._buffer.take()
        if n:
            self._put(SpanRecords(records, n, labels_of_series, lane, *self._clock.now()))

    def events(self, taken: SpanRecords) -> Iterator[SpanEvent]:
        """What the records say. For another thread than that of the drain."""
        records, _, labels_of_series, lane, now_ns, now_unix_ns = taken
        booted_unix_ns = now_unix_ns - now_ns
        at, end = 0, len(records)
        while at < end:
            kind, flags, info_bytes, series, stamp_ns, id, trace, parent = _unpack(records, at)
            info_at = at + _SPAN.size
            at = info_at + info_bytes
            labels = labels_of_series.get(series)
            if labels is None:  # its lane has more series than it may
                self.nameless += 1
                continue
            info, cut = _info(records[info_at:at]) if info_bytes else ({}, "")
            if flags & _HOST:
                info["host"] = labels.host
            # A stamp can be anything, but not of the future.
            unix_ns = booted_unix_ns + min(stamp_ns, now_ns)
            cut = "size" if flags & _CUT else cut
            fields = kind == _START, id, trace, parent, *labels, unix_ns, info, cut, lane
            yield _new(SpanEvent, fields)  # its own way of being made takes a µs


def _info(raw: bytes) -> tuple[dict[str, Any], str]:
    """The map that these bytes are, and why there is none if they are not; how much of it there may
    be is judged where it is written."""
    try:
        return _decode(raw), ""
    except RecursionError:
        return {}, "depth"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}, "malformed"
