# SPDX-License-Identifier: Apache-2.0
"""Families of the node, and their series: from label values to cells of the store.

A family keeps its series in chunks of rows, each row the cells of one series. The last row of the
newest chunk stays free for the overflow series, so that there is always a place to count what no
longer has one of its own.
"""

from __future__ import annotations

import struct
import time
from array import array
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from shmetrics import _ring
from shmetrics.collector import definitions
from shmetrics.collector.definitions import Refusal
from shmetrics.collector.store import Entry, Store, StoreDamaged, StoreFull
from shmetrics.dictionary import (
    Definition,
    decode_definition,
    decode_strings,
    encode_definition,
    encode_strings,
)
from shmetrics.exposition.table import Series

OVERFLOW = _ring.OVERFLOW_VALUE
FIRST_CHUNK_ROWS = 16
MAX_CHUNK_ROWS = 4096

_CREATED = struct.Struct("=d")


class Family:
    """One family: its definition, its series, and their cells."""

    def __init__(
        self, id: int, definition: Definition, families: Families, first_cell: int
    ) -> None:
        self.id = id
        self.definition = definition
        self.bounds = array("d", definition.bounds)
        self.series = Series(definition.label_names)
        self.width = _ring.cells_of(definition.type, len(definition.bounds))
        self._families = families
        self._rows: dict[tuple[str, ...], int] = {}
        self._created = array("d")
        self._chunks: list[npt.NDArray[np.uint64]] = []
        self._firsts: list[int] = []  # each chunk's first cell in the store
        self._capacity = 0
        self._overflow_values = (OVERFLOW,) * len(definition.label_names)
        self.is_limited = True
        self._add_chunk(FIRST_CHUNK_ROWS, first_cell)

    def _add_chunk(self, rows: int, first: int) -> None:
        cells = self._families.store.cells[first : first + rows * self.width]
        self._chunks.append(cells.reshape(rows, self.width))
        self._firsts.append(first)
        self._capacity += rows

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, values: tuple[str, ...]) -> int:
        """The row of these label values; beyond the limits, the overflow series' row.

        Raises StoreFull if there is no room for even that.
        """
        found = self._rows.get(values)
        if found is not None:
            return found
        if self._fits(values):
            try:
                return self._append(values)
            except StoreFull:
                pass  # the overflow series has a place of its own
        found = self._rows.get(self._overflow_values)
        return self._append(self._overflow_values) if found is None else found

    def _fits(self, values: tuple[str, ...]) -> bool:
        limits = self._families.limits
        return (
            (len(self._rows) < limits.series_per_family or not self.is_limited)
            and (values != self._overflow_values or not values)
            and all(len(value.encode()) <= limits.label_bytes for value in values)
        )

    def counted_row(self, values: tuple[str, ...]) -> int:
        """The same, and counts if that is not their own."""
        row = self.row(values)
        if self.folds(values):
            self._families.on_overflow(self.definition.name)
        return row

    def folds(self, values: tuple[str, ...]) -> bool:
        """Whether these label values have no series of their own."""
        return values not in self._rows

    def _append(self, values: tuple[str, ...]) -> int:
        created = self._families.now()
        entry = Entry(
            _ring.ENTRY_SERIES, 0, 0, self.id, _CREATED.pack(created) + encode_strings(values)
        )
        rows = self._rows_to_add(values)
        spare = values == self._overflow_values
        first = self._families.store.append(entry, rows * self.width, spare)
        return self._put(values, created, rows, first)

    def restore(self, payload: bytes) -> None:
        """Takes a series back from the log."""
        (created,) = _CREATED.unpack_from(payload)
        values = decode_strings(payload[_CREATED.size :])
        rows = self._rows_to_add(values)
        self._put(values, created, rows, self._families.store.take_cells(rows * self.width))

    def _rows_to_add(self, values: tuple[str, ...]) -> int:
        """How large a chunk this series needs. It follows from the log alone."""
        if len(self._rows) + 1 < self._capacity or values == self._overflow_values:
            return 0
        return min(self._capacity, MAX_CHUNK_ROWS)

    def _put(self, values: tuple[str, ...], created: float, rows: int, first: int) -> int:
        if rows:
            self._add_chunk(rows, first)
        if self.is_limited:
            longest = max(map(len, map(str.encode, values)), default=0)
            self._families.longest_label_bytes = max(self._families.longest_label_bytes, longest)
        row = self._rows[values] = len(self._rows)
        self.series.append(values)
        self._created.append(created)
        return row

    def cell(self, row: int) -> int:
        """Index of a row's first cell in the store."""
        chunk, at = self._find(row)
        return self._firsts[chunk] + at * self.width

    def _find(self, row: int) -> tuple[int, int]:
        for index, chunk in enumerate(self._chunks):
            if row < len(chunk):
                return index, row
            row -= len(chunk)
        raise IndexError(row)

    def cells(self, row: int) -> npt.NDArray[np.uint64]:
        """One row's cells; writable."""
        chunk, at = self._find(row)
        cells: npt.NDArray[np.uint64] = self._chunks[chunk][at]
        return cells

    def rows(self) -> npt.NDArray[np.uint64]:
        """All cells now, (series, width), as a copy."""
        table: npt.NDArray[np.uint64] = np.concatenate(self._chunks)
        return table[: len(self._rows)]

    def created(self) -> npt.NDArray[np.float64]:
        """Unix time at which each series was first seen."""
        return np.array(self._created, np.float64)  # a copy: the array grows

    def bucket_of(self, value: float) -> int:
        return int(np.searchsorted(self.bounds, value, side="left"))


class CallFamily(Family):
    """Calls: starts, ends, durations; and the exceptions, a family of counters of their own."""

    exceptions: Family | None = None  # set by Families: it has an id of its own

    def start(self, values: tuple[str, ...]) -> None:
        self.cells(self.counted_row(values))[_ring.CELL_STARTS] += np.uint64(1)

    def end(self, values: tuple[str, ...]) -> None:
        self.cells(self.counted_row(values))[_ring.CELL_ENDS] += np.uint64(1)

    def observe(self, values: tuple[str, ...], seconds: float) -> None:
        cells = self.cells(self.counted_row(values))
        cells[_ring.CELL_DURATION] += np.uint64(round(seconds * 1e9))
        cells[_ring.CALLS_BUCKETS + self.bucket_of(seconds)] += np.uint64(1)

    def exception(self, values: tuple[str, ...], exception: str) -> None:
        if self.exceptions is None:
            raise StoreFull(f"no room for the exceptions of {self.definition.name}")
        cells = self.exceptions.cells(self.exceptions.counted_row((*values, exception)))
        cells.view(np.float64)[0] += 1.0


class Limits:
    """What bounds the memory of the families."""

    def __init__(self, series_per_family: int = 20_000, label_bytes: int = 1024) -> None:
        self.series_per_family = series_per_family
        self.label_bytes = label_bytes


class Families:
    """All families of the node, by name, kept in the store."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        on_overflow: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.limits = limits
        self.on_overflow = on_overflow
        self.now = now
        self.longest_label_bytes = 0
        self._by_name: dict[str, Family] = {}
        self._by_id: list[Family] = []
        self._claimed: dict[str, str] = {}  # sample name to family name
        for entry in store.entries():
            self._restore(entry)

    def _restore(self, entry: Entry) -> None:
        try:
            if entry.kind == _ring.ENTRY_FAMILY:
                definition = decode_definition(entry.type, entry.of, entry.payload)
                self._add(definition, self.store.take_cells(_first_cells(definition)))
            else:
                self._by_id[entry.of].restore(entry.payload)
        except (ValueError, LookupError, struct.error) as error:
            raise StoreDamaged(f"{self.store.path}: the store's log is damaged: {error}") from None

    def __iter__(self) -> Iterator[Family]:
        return iter(self._by_id)

    def most_series(self) -> int:
        """How many series the largest family has."""
        return max((len(family) for family in self if family.is_limited), default=0)

    def define(self, definition: Definition) -> Family | Refusal:
        """The family of this definition, made if it is new; or why there is none."""
        known = self._by_name.get(definition.name)
        if known is not None:
            return self._agree(known, definition)
        refusal = definitions.check(definition) or self._clash(definition)
        if refusal is not None:
            return refusal
        try:
            if definition.type == _ring.TYPE_CALLS:
                return self._define_calls(definition)
            return self._define(definition)
        except StoreFull as error:
            return Refusal("store_full", str(error))

    def define_own(self, definition: Definition, is_limited: bool = True) -> Family:
        """A family of the collector's own, which no emitter can define. Raises StoreFull.

        is_limited: False if its label values are not the emitters', but few, and the collector's.
        """
        family = self._by_name.get(definition.name)
        if family is None:  # one without series is false
            family = self._define(definition)
        family.is_limited = is_limited
        return family

    def _agree(self, known: Family, definition: Definition) -> Family | Refusal:
        ours = known.definition
        for field in ("type", "label_names", "bounds", "mode", "unit"):
            if getattr(ours, field) != getattr(definition, field):
                return Refusal(
                    "conflict",
                    f"{definition.name}: {field} {getattr(definition, field)!r} contradicts "
                    f"{getattr(ours, field)!r}, which another process defined first",
                )
        return known

    def _clash(self, definition: Definition) -> Refusal | None:
        for name in sorted(definitions.sample_names(definition)):
            if name in self._claimed:
                return Refusal(
                    "conflict",
                    f"{definition.name}: its sample {name} is one of {self._claimed[name]}",
                )
        return None

    def _define(self, definition: Definition) -> Family:
        entry = Entry(
            _ring.ENTRY_FAMILY,
            definition.type,
            len(self._by_id),
            len(definition.bounds),
            encode_definition(definition),
        )
        return self._add(definition, self.store.append(entry, _first_cells(definition)))

    def _define_calls(self, definition: Definition) -> Family:
        family = self._define(definition)
        self._define(exceptions_of(definition))
        return family

    def _add(self, definition: Definition, first_cell: int) -> Family:
        kind = CallFamily if definition.type == _ring.TYPE_CALLS else Family
        family = kind(len(self._by_id), definition, self, first_cell)
        self._by_id.append(family)
        calls = self._by_name.get(definition.name.removesuffix(definitions.CALL_EXCEPTIONS))
        if isinstance(calls, CallFamily) and calls is not family:
            calls.exceptions = family
        self._by_name[definition.name] = family
        for name in definitions.sample_names(definition):
            self._claimed.setdefault(name, definition.name)
        return family


def _first_cells(definition: Definition) -> int:
    return FIRST_CHUNK_ROWS * _ring.cells_of(definition.type, len(definition.bounds))


def exceptions_of(definition: Definition) -> Definition:
    """The counters of exceptions that belong to a family of calls."""
    return Definition(
        _ring.TYPE_COUNTER,
        definition.name + definitions.CALL_EXCEPTIONS,
        f"{definition.help}: exceptions",
        "",
        "",
        (*definition.label_names, "exception"),
        (),
    )
