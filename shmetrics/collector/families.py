# SPDX-License-Identifier: Apache-2.0
"""All families of the node, as the store's log has them."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Callable, Iterator, Sequence

from shmetrics import _ring
from shmetrics.collector import definitions, exponential
from shmetrics.collector.definitions import Refusal
from shmetrics.collector.exemplars import Exemplars
from shmetrics.collector.exponential import Exponential
from shmetrics.collector.family import Family
from shmetrics.collector.histograms import CallFamily, HistogramFamily
from shmetrics.collector.limits import Limits
from shmetrics.collector.log import Entry, Kind, StoreDamaged, StoreFull
from shmetrics.collector.store import Store
from shmetrics.dictionary import Definition, decode_definition, encode_definition
from shmetrics.label_rules.rule import Rule, Ruling


class Families:
    """All families of the node, by name, kept in the store."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        on_overflow: Callable[[Family], None],
        now: Callable[[], float] = time.time,
        label_rules: Sequence[Rule] = (),
    ) -> None:
        self.store = store
        self.limits = limits
        self.exemplars = Exemplars(limits.exemplars)
        self._on_overflow = on_overflow
        self._now = now
        self._label_rules = label_rules
        self._by_name: dict[str, Family] = {}
        self._by_id: list[Family] = []
        self._claimed: dict[str, str] = {}  # sample name to family name
        for entry in store.log:
            self._restore(entry)
        for family in self:
            family.settle()
        store.reserved_bytes = sum(family.overflow_bytes for family in self)

    def _restore(self, entry: Entry) -> None:
        try:
            if entry.kind == Kind.FAMILY:
                if entry.id != len(self._by_id):
                    raise ValueError(f"family {entry.id} where {len(self._by_id)} belongs")
                self._add(self._restored(entry))
            elif entry.kind != Kind.EXPIRED:
                self._by_id[entry.of].restore(entry)
        except (ValueError, LookupError, ArithmeticError, struct.error) as error:
            raise StoreDamaged(f"{self.store.path}: the store's log is damaged: {error}") from None

    def __iter__(self) -> Iterator[Family]:
        return iter(self._by_id)

    def most_series(self) -> int:
        """How many series the largest family has."""
        return max((len(family) for family in self if family.is_limited), default=0)

    def longest_label_bytes(self) -> int:
        """How long the longest label value is."""
        return max((family.longest_label_bytes for family in self if family.is_limited), default=0)

    def define(self, definition: Definition) -> Family | Refusal:
        """The family of this definition, made if it is new; or why there is none."""
        known = self._by_name.get(definition.name)
        if known is not None:
            return self._agree(known, definition)
        refusal = (
            definitions.check(definition) or self._clash(definition) or self._excess(definition)
        )
        if refusal is not None:
            return refusal
        try:
            if definition.type == _ring.TYPE_CALLS:
                return self._define(definition, exceptions_of(definition))
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

    def _excess(self, definition: Definition) -> Refusal | None:
        if self.limited() < self.limits.families:
            return None
        return Refusal(
            "families",
            f"{definition.name}: there are {self.limits.families} families already; "
            "see store.max_families",
        )

    def limited(self) -> int:
        """How many families the emitters have defined."""
        return sum(family.is_limited for family in self)

    def _clash(self, definition: Definition) -> Refusal | None:
        for name in sorted(definitions.sample_names(definition)):
            if name in self._claimed:
                return Refusal(
                    "conflict",
                    f"{definition.name}: its sample {name} is one of {self._claimed[name]}",
                )
        return None

    def _define(self, *wanted: Definition) -> Family:
        """Makes families: all of them, or none."""
        made = [
            self._make(definition, id) for id, definition in enumerate(wanted, len(self._by_id))
        ]
        firsts = list(
            itertools.accumulate(
                (family.first_chunk_rows * family.width for family in made),
                initial=self.store.next_cell,
            )
        )
        entries = []
        for family, first in zip(made, firsts, strict=False):
            entries += [_entry_of(family), family.chunk_entry(first, family.first_chunk_rows)]
        kept = self.store.reserved_bytes + sum(family.overflow_bytes for family in made)
        self.store.append(entries, firsts[-1] - firsts[0], kept)
        self.store.reserved_bytes = kept
        for family, first in zip(made, firsts, strict=False):
            family.add_chunk(first, family.first_chunk_rows)
            self._add(family)
        return made[0]

    def _make(self, definition: Definition, id: int) -> Family:
        family = self._bare(definition, id)
        if isinstance(family, HistogramFamily):
            fine = self.limits.native_histograms
            family.count_in(exponential.covering(definition.bounds) if fine else None)
        return family

    def _bare(self, definition: Definition, id: int) -> Family:
        kind = _KINDS.get(definition.type, Family)
        family = kind(id, definition, self.store, self.limits, self._on_overflow, self._now)
        family.ruling = Ruling(self._label_rules, definition)
        return family

    def _restored(self, entry: Entry) -> Family:
        schema, lowest, n = _EXPONENTIAL.unpack_from(entry.payload)
        payload = entry.payload[_EXPONENTIAL.size :]
        family = self._bare(decode_definition(entry.type, entry.of, payload), entry.id)
        if isinstance(family, HistogramFamily):
            family.count_in(Exponential(schema, lowest, n) if n else None)
        return family

    def _add(self, family: Family) -> None:
        definition = family.definition
        before = self._by_id[-1] if self._by_id else None
        self._by_id.append(family)
        if isinstance(before, CallFamily) and before.exceptions is None:
            before.exceptions = family  # nobody else can define these
        else:
            self._by_name[definition.name] = family
        for name in definitions.sample_names(definition):
            self._claimed.setdefault(name, definition.name)


# Of a family's entry, before its definition: the exponential bounds that its rows were made for.
# None: there are no such.
_EXPONENTIAL = struct.Struct("=iiI")
_NONE = Exponential(0, 0, 0)
_KINDS = {_ring.TYPE_CALLS: CallFamily, _ring.TYPE_HISTOGRAM: HistogramFamily}


def _entry_of(family: Family) -> Entry:
    definition = family.definition
    found = family.exponential if isinstance(family, HistogramFamily) else None
    return Entry(
        Kind.FAMILY,
        definition.type,
        family.id,
        len(definition.bounds),
        _EXPONENTIAL.pack(*(found or _NONE)) + encode_definition(definition),
    )


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
