# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from typing import Any, Final, TypedDict

from typing_extensions import Buffer, Self

LAYOUT_VERSION: Final[int]
HEADER_BYTES: Final[int]
RECORD_BYTES: Final[int]
CELL_BYTES: Final[int]
INDEX_START: Final[int]
ENTRY_MAX_BYTES: Final[int]
OVERFLOW_VALUE: Final[str]
LANE_MAX_BYTES: Final[int]
MAX_OPEN_CALLS: Final[int]

TYPE_NONE: Final[int]
TYPE_COUNTER: Final[int]
TYPE_GAUGE: Final[int]
TYPE_HISTOGRAM: Final[int]
TYPE_CALLS: Final[int]
TYPE_EXCEPTION: Final[int]
TYPE_SPANS: Final[int]

ENTRY_FAMILY: Final[int]
ENTRY_SERIES: Final[int]
ENTRY_EXCEPTION: Final[int]

CELL_STARTS: Final[int]
CELL_ENDS: Final[int]
CELL_DURATION: Final[int]
CALLS_BUCKETS: Final[int]
CELL_SUM: Final[int]
HISTOGRAM_BUCKETS: Final[int]
CELL_VALUE: Final[int]
CELL_STAMP: Final[int]

DEFAULT_RECORDS: Final[int]
DEFAULT_DICTIONARY_BYTES: Final[int]
DEFAULT_CELLS: Final[int]
DEFAULT_CALLS: Final[int]

DROP_BAD_VALUE: Final[int]
DROP_BAD_LABELS: Final[int]
DROP_NO_MEMORY: Final[int]

LANE_CLOSED: Final[int]

KIND_NAMES: Final[dict[int, str]]
DROP_NAMES: Final[tuple[str, ...]]
STATE_NAMES: Final[dict[int, str]]
RECORD_FIELDS: Final[tuple[tuple[str, str, int], ...]]
KIND_SPAN_START: Final[int]
FLAG_CUT: Final[int]
FLAG_HOST: Final[int]

families: Final[dict[tuple[object, ...], Any]]

class Counts(TypedDict):
    lane: int
    recorded: int
    waiting: int
    spilled: int
    gauge_writes: int
    overflowed: int
    dropped: dict[str, int]

class Status(Counts, total=False):
    state: str
    disabled: bool
    closed: bool
    attention_errors: int

def process_init(disabled: bool, attention: Callable[[], object]) -> None: ...
def process_epoch() -> int: ...

class Descriptor:
    def __init__(self, fd: int) -> None: ...
    def fileno(self) -> int: ...
    def is_ours(self) -> bool: ...
    def close(self) -> None: ...

def ask(path: bytes, hello: bytes) -> Descriptor: ...
def answer(connection: Descriptor, most_bytes: int) -> tuple[bytes, Descriptor | None]: ...
def process_attach(epoch: int, lane: Descriptor) -> None: ...
def process_detach() -> None: ...
def process_attend_soon() -> None: ...
def process_status() -> Status: ...
def process_count_drop(cause: int) -> None: ...
def wait_readable(connection: Descriptor, wait_ns: int) -> bool: ...
def texts(values: tuple[object, ...], none: str) -> tuple[str, ...]: ...

class Family:
    def __init__(self, type: int, bounds: Buffer, text: bytes) -> None: ...

class Series:
    def __init__(self, family: Family, text: bytes | None, *rest: object) -> None: ...

class CounterSeries(Series):
    def inc(self, amount: float = 1.0, exemplar: dict[str, str] | None = None) -> None: ...

class GaugeSeries(Series):
    with_stamp: bool
    def __init__(self, family: Family, text: bytes | None, with_stamp: bool = False) -> None: ...
    def set(self, value: float) -> None: ...
    def inc(self, amount: float = 1.0) -> None: ...
    def dec(self, amount: float = 1.0) -> None: ...

class HistogramSeries(Series):
    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None: ...

class OpenCall:
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: object, traceback: object
    ) -> None: ...

class CallSeries(Series):
    def __init__(
        self, family: Family, text: bytes | None, encode: Callable[[str], bytes | None]
    ) -> None: ...
    def __call__(self) -> OpenCall: ...
    def traced(self, exemplar: dict[str, str] | None) -> OpenCall: ...
    def start(self, exemplar: dict[str, str] | None = None) -> OpenCall: ...
    def end(self, call: OpenCall, exception: str | None = None) -> None: ...

class SpanSeries(Series):
    def __init__(self, family: Family, text: bytes | None, host: str = "") -> None: ...
    def start(
        self, id: str, trace: str, parent: str, info: dict[str, Any] | None = None
    ) -> None: ...
    def stop(
        self, id: str, trace: str, parent: str, info: dict[str, Any] | None = None
    ) -> None: ...
