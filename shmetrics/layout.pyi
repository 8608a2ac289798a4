# SPDX-License-Identifier: Apache-2.0
from typing import Final, TypedDict

LAYOUT_VERSION: Final[int]
HEADER_BYTES: Final[int]
RECORD_BYTES: Final[int]
CELL_BYTES: Final[int]
INDEX_START: Final[int]
ENTRY_MAX_BYTES: Final[int]
OVERFLOW_VALUE: Final[str]
LANE_MAX_BYTES: Final[int]
MAX_OPEN_CALLS: Final[int]
NOTICES_BYTES: Final[int]

TYPE_NONE: Final[int]
TYPE_COUNTER: Final[int]
TYPE_GAUGE: Final[int]
TYPE_HISTOGRAM: Final[int]
TYPE_CALLS: Final[int]
TYPE_EXCEPTION: Final[int]
TYPE_SPANS: Final[int]
TYPE_OBSERVED: Final[int]

ENTRY_FAMILY: Final[int]
ENTRY_SERIES: Final[int]
ENTRY_EXCEPTION: Final[int]
ENTRY_CELLS: Final[int]
ENTRY_REMOVED: Final[int]

CELL_STARTS: Final[int]
CELL_ENDS: Final[int]
CELL_DURATION: Final[int]
CALLS_BUCKETS: Final[int]
CELL_SUM: Final[int]
HISTOGRAM_BUCKETS: Final[int]
CELL_VALUE: Final[int]
CELL_STAMP: Final[int]
START_UNKNOWN: Final[int]

DEFAULT_RECORDS: Final[int]
DEFAULT_DICTIONARY_BYTES: Final[int]
DEFAULT_CELLS: Final[int]
DEFAULT_CALLS: Final[int]

DROP_LANE_FULL: Final[int]
DROP_OVERSIZED: Final[int]
DROP_BAD_VALUE: Final[int]
DROP_BAD_LABELS: Final[int]
DROP_FOREIGN_CALL: Final[int]
DROP_UNTRACKED_CALL: Final[int]
DROP_NO_MEMORY: Final[int]
DROP_BAD_EXEMPLAR: Final[int]
CAUSE_OVERFLOW: Final[int]

LANE_CLOSED: Final[int]
LANE_TOLD: Final[int]
LANE_STATE_AT: Final[int]

KIND_NAMES: Final[dict[int, str]]
DROP_NAMES: Final[tuple[str, ...]]
RECORD_FIELDS: Final[tuple[tuple[str, str, int], ...]]
KIND_SPAN_START: Final[int]
FLAG_CUT: Final[int]
FLAG_HOST: Final[int]

class Counts(TypedDict):
    lane: int
    recorded: int
    waiting: int
    spilled: int
    gauge_writes: int
    overflowed: int
    dropped: dict[str, int]

def lane_bytes(records: int, dictionary_bytes: int, cells: int, calls: int) -> int: ...
def cells_of(type: int, n_bounds: int) -> int: ...
