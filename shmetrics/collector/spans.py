# SPDX-License-Identifier: Apache-2.0
"""Spans on their way from the lanes to whoever puts traces together.

The drain has checked their records: each has as many slots of info behind it as it says. What the
info says is the emitter's own; if it is no map, there is none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from shmetrics import _drain, _ring
from shmetrics.collector.wall_clock import WallClock
from shmetrics.traces.event import SpanEvent, SpanOf

_SPAN: Final = struct.Struct(_ring.SPAN_FORMAT)
_INFO_SIZE: Final = struct.Struct("=H")
_new: Final = tuple.__new__
# Of what is between two drains: 4 ms of nothing but spans.
BUFFER_BYTES: Final = 4 * 1024 * 1024

_DECODER: Final = msgspec.msgpack.Decoder(dict[str, Any])


class SpanRecords(NamedTuple):
    """What one drain of a lane has brought, undecoded: that is not the drain's work.

    spans_of: by id of a series, as far as the lane was allowed to have them; the lane goes on
    filling it. The clocks are those of the drain.
    """

    records: bytes
    n: int  # starts and stops
    spans_of: Mapping[int, SpanOf]
    lane: int
    monotonic_ns: int
    unix_ns: int

    def when_ns(self, stamp_ns: int) -> int:
        """What the wall clock said at this stamp; it can say anything, but not the future."""
        return self.unix_ns - max(self.monotonic_ns - stamp_ns, 0)


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

    def take(self, lane: int, spans_of: Mapping[int, SpanOf]) -> None:
        """Hands on what the lane's drain has brought."""
        records, n = self._buffer.take()
        if n:
            self._put(SpanRecords(records, n, spans_of, lane, *self._clock.now()))

    def events(self, taken: SpanRecords) -> Iterator[SpanEvent]:
        """What the records say. For another thread than that of the drain."""
        records, spans_of, lane, when_ns = taken.records, taken.spans_of, taken.lane, taken.when_ns
        at, end = 0, len(records)
        while at < end:
            kind, flags, n_info, series, stamp_ns, id, trace, parent = _SPAN.unpack_from(
                records, at
            )
            begin = at + _ring.RECORD_BYTES
            at = begin + n_info * _ring.RECORD_BYTES
            of = spans_of.get(series)
            if of is None:  # its lane has more series than it may
                self.nameless += 1
                continue
            info, is_sound = _info(records, begin, at) if n_info else ({}, True)
            if flags & _ring.FLAG_HOST:
                info["host"] = of.host
            is_cut = bool(flags & _ring.FLAG_CUT) or not is_sound
            said = (kind == _ring.KIND_SPAN_START, id, trace, parent, *of, when_ns(stamp_ns), info)
            yield _new(SpanEvent, (*said, is_cut, lane))  # its own way of being made takes a µs


def _info(records: bytes, begin: int, end: int) -> tuple[dict[str, Any], bool]:
    """The map in these slots, and whether it is one."""
    parts = []
    for slot in range(begin, end, _ring.RECORD_BYTES):
        (size_bytes,) = _INFO_SIZE.unpack_from(records, slot + _ring.INFO_SIZE_AT)
        bytes_at = slot + _ring.INFO_BYTES_AT
        parts.append(records[bytes_at : bytes_at + size_bytes])
    try:
        return _DECODER.decode(b"".join(parts)), True
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}, False
