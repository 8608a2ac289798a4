# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=True
"""The layout of a lane, for both halves: every number of csrc/lane/ that Python needs.

It holds no state, and records and drains nothing: emitters and the collector have it in common, and
nothing else that is compiled.
"""

from shmetrics.errors import LaneRefused

LAYOUT_VERSION = SHM_LAYOUT_VERSION
HEADER_BYTES = SHM_HEADER_BYTES
RECORD_BYTES = SHM_RECORD_BYTES
CELL_BYTES = SHM_CELL_BYTES
INDEX_START = SHM_INDEX_START
ENTRY_MAX_BYTES = SHM_ENTRY_MAX_BYTES
OVERFLOW_VALUE = SHM_OVERFLOW_VALUE.decode()
LANE_MAX_BYTES = SHM_LANE_MAX_BYTES
MAX_OPEN_CALLS = SHM_MAX_OPEN_CALLS
NOTICES_BYTES = SHM_NOTICES_BYTES

TYPE_NONE = SHM_TYPE_NONE
TYPE_COUNTER = SHM_TYPE_COUNTER
TYPE_GAUGE = SHM_TYPE_GAUGE
TYPE_HISTOGRAM = SHM_TYPE_HISTOGRAM
TYPE_CALLS = SHM_TYPE_CALLS
TYPE_EXCEPTION = SHM_TYPE_EXCEPTION
TYPE_SPANS = SHM_TYPE_SPANS
TYPE_OBSERVED = SHM_TYPE_OBSERVED

ENTRY_FAMILY = SHM_ENTRY_FAMILY
ENTRY_SERIES = SHM_ENTRY_SERIES
ENTRY_EXCEPTION = SHM_ENTRY_EXCEPTION
ENTRY_CELLS = SHM_ENTRY_CELLS
ENTRY_REMOVED = SHM_ENTRY_REMOVED

CELL_STARTS = SHM_CELL_STARTS
CELL_ENDS = SHM_CELL_ENDS
CELL_DURATION = SHM_CELL_DURATION
CALLS_BUCKETS = SHM_CALLS_BUCKETS
CELL_SUM = SHM_CELL_SUM
HISTOGRAM_BUCKETS = SHM_HISTOGRAM_BUCKETS
CELL_VALUE = SHM_CELL_VALUE
CELL_STAMP = SHM_CELL_STAMP
START_UNKNOWN = SHM_START_UNKNOWN

DEFAULT_RECORDS = SHM_DEFAULT_RECORDS
DEFAULT_DICTIONARY_BYTES = SHM_DEFAULT_DICTIONARY_BYTES
DEFAULT_CELLS = SHM_DEFAULT_CELLS
DEFAULT_CALLS = SHM_DEFAULT_CALLS

DROP_LANE_FULL = SHM_DROP_LANE_FULL
DROP_OVERSIZED = SHM_DROP_OVERSIZED
DROP_BAD_VALUE = SHM_DROP_BAD_VALUE
DROP_BAD_LABELS = SHM_DROP_BAD_LABELS
DROP_FOREIGN_CALL = SHM_DROP_FOREIGN_CALL
DROP_UNTRACKED_CALL = SHM_DROP_UNTRACKED_CALL
DROP_NO_MEMORY = SHM_DROP_NO_MEMORY
DROP_BAD_EXEMPLAR = SHM_DROP_BAD_EXEMPLAR
CAUSE_OVERFLOW = SHM_DROPS  # as definitions.h has it
DROP_NAMES = tuple(shm_drop_name(cause).decode() for cause in range(SHM_DROPS))

LANE_CLOSED = SHM_LANE_CLOSED
LANE_TOLD = SHM_LANE_TOLD
LANE_STATE_AT = SHM_AT_STATE

KIND_NAMES = {
    0: "unknown",
    SHM_KIND_ADD: "add",
    SHM_KIND_OBSERVE: "observe",
    SHM_KIND_CALL_START: "call_start",
    SHM_KIND_CALL_END: "call_end",
    SHM_KIND_SPAN_START: "span_start",
    SHM_KIND_SPAN_STOP: "span_stop",
    SHM_KIND_SPAN_INFO: "span_info",
}
KIND_SPAN_START = SHM_KIND_SPAN_START
FLAG_CUT = SHM_FLAG_CUT
FLAG_HOST = SHM_FLAG_HOST

# (name, numpy format, offset): np.dtype({...}) of one 64-byte record.
RECORD_FIELDS = (
    ("kind", "u1", SHM_AT_KIND),
    ("flags", "u1", SHM_AT_FLAGS),
    ("series", "<u4", SHM_AT_SERIES),
    ("value", "<f8", SHM_AT_VALUE),
    ("stamp_ns", "<u8", SHM_AT_STAMP_NS),
    ("duration_ns", "<u8", SHM_AT_DURATION_NS),
    ("exception", "<u4", SHM_AT_EXCEPTION),
    ("trace", "V16", SHM_AT_TRACE),
    ("span", "V8", SHM_AT_SPAN),
)

_ATTACH_REASONS = {
    SHM_ATTACH_NOT_READY: "not_ready",
    SHM_ATTACH_NOT_A_LANE: "not_a_lane",
    SHM_ATTACH_VERSION: "layout_version",
    SHM_ATTACH_BAD_PARTS: "bad_parts",
    SHM_ATTACH_FOREIGN: "foreign",
    SHM_ATTACH_TOO_SMALL: "too_small",
}


def lane_bytes(uint32_t records, uint32_t dictionary_bytes, uint32_t cells, uint32_t calls):
    """Return the size of a lane with parts of these sizes."""
    cdef shm_lane_sizes sizes = shm_lane_sizes(records, dictionary_bytes, cells, calls)
    return shm_lane_bytes(&sizes)


def cells_of(int type, int n_bounds):
    """Return how many cells a series of this type has. n_bounds: of its family's buckets."""
    return shm_cells_of(<uint16_t>type, <uint32_t>n_bounds)


cdef int check_attach(int code) except -1:
    """Raise LaneRefused, unless the code is SHM_ATTACH_OK."""
    if code != SHM_ATTACH_OK:
        raise LaneRefused(_ATTACH_REASONS[code])
    return 0


cdef dict counts_dict(const shm_counts *counts):
    """Return a lane's counts by name; `dropped` are counts by the name of their cause."""
    return {
        "lane": counts.lane_id,
        "recorded": counts.recorded,
        "waiting": counts.waiting,
        "spilled": counts.spilled,
        "gauge_writes": counts.gauge_writes,
        "overflowed": counts.overflowed,
        "dropped": {DROP_NAMES[cause]: counts.dropped[cause] for cause in range(SHM_DROPS)},
    }
