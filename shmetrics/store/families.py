# SPDX-License-Identifier: Apache-2.0
"""All families of the node, as the store's log has them."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from shmetrics import layout
from shmetrics.dictionary import Definition, decode_definition, encode_definition
from shmetrics.label_rules.rule import Rule, Ruling
from shmetrics.rate_limited_log import shown
from shmetrics.sample_names import CALL_EXCEPTIONS, sample_names
from shmetrics.store import definitions, exponential
from shmetrics.store.definitions import Refusal
from shmetrics.store.exemplars import Exemplars
from shmetrics.store.exponential import ExponentialBounds
from shmetrics.store.family import Family
from shmetrics.store.histograms import CallFamily, HistogramFamily
from shmetrics.store.limits import Limits
from shmetrics.store.log import Entry, EntryKind, StoreDamaged, StoreFull
from shmetrics.store.shares import NOBODY, uid_of
from shmetrics.store.store import CellRun, Store


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
        self.give_way: Callable[[Family, int], bool] = lambda family, owner: False
        """Lets go of a family that is in the way of this owner's, if it may. Whether it did."""
        self.on_gone: Callable[[Sequence[Family]], None] = lambda parts: None
        """Is told of families that were let go, and of what belonged to them."""
        self._by_name: dict[str, Family] = {}
        self._by_id: dict[int, Family] = {}
        self._next_id = 0
        self._n_of: Counter[int] = Counter()  # families, by owner
        self._n_unlimited = 0
        self._claimed: dict[str, str] = {}  # sample name to family name
        for entry in store.log:
            self._restore(entry)
        for family in self:
            family.settle()
        store.reserved_bytes = sum(family.overflow_bytes for family in self)

    def resize(self, max_bytes: int) -> None:
        """Gives the store another size, if it has to have one, and what is in it lets it; before
        anybody has looked up cells."""
        if self.store.resize(max_bytes):
            for family in self:
                family.look_up_cells()

    def _restore(self, entry: Entry) -> None:
        try:
            if entry.kind == EntryKind.FAMILY:
                if entry.id < self._next_id:
                    raise ValueError(f"family {entry.id} where {self._next_id} belongs")
                self._add(self._restored(entry))
            elif entry.kind == EntryKind.GONE:
                self._drop(self._by_id[entry.id])
            elif entry.kind != EntryKind.EXPIRED:
                self._by_id[entry.of].restore(entry)
        except (ValueError, LookupError, ArithmeticError, struct.error) as error:
            raise StoreDamaged(f"{self.store.path}: the store's log is damaged: {error}") from None

    def __iter__(self) -> Iterator[Family]:
        return iter(list(self._by_id.values()))

    def most_series(self) -> int:
        """How many series the user with the most has in the largest family."""
        return max((family.most_series() for family in self if family.is_limited), default=0)

    def longest_label_bytes(self) -> int:
        """How long the longest label value is."""
        return max((family.longest_label_bytes for family in self if family.is_limited), default=0)

    def define(self, definition: Definition, owner: int = NOBODY) -> Family | Refusal:
        """The family of this definition, made if it is new; or why there is none. owner: for whom
        it is made, see shares.py."""
        refusal = definitions.check(definition)
        if refusal is not None:
            return refusal
        found = self._known(definition, owner)
        if found is None:  # one without series is false
            found = self._excess(definition, owner)
        if found is not None:
            return found
        wanted = [definition]
        if definition.type == layout.TYPE_CALLS:
            wanted.append(exceptions_of(definition))
        try:
            return self.store.attempt(lambda: self._define(wanted, owner))
        except StoreFull as full:
            reason = "store_full" if full.owner is None else "store_bytes_per_uid"
            return Refusal(reason, str(full))

    def define_own(self, definition: Definition, is_limited: bool = True) -> Family:
        """A family of the collector's own, which no emitter can define. Raises StoreFull.

        is_limited: False if its label values are not the emitters', but few, and the collector's.
        """
        family = self._by_name.get(definition.name)
        if family is None:  # one without series is false
            family = self._define([definition], NOBODY)
        self._n_unlimited += family.is_limited - is_limited
        family.is_limited = is_limited
        family.hold()
        return family

    def _agree(self, known: Family, definition: Definition) -> Family | Refusal:
        """Returns the family if the definition does not contradict it; or why it does."""
        ours = known.definition
        for field in ("type", "label_names", "bounds", "mode", "unit"):
            if getattr(ours, field) != getattr(definition, field):
                new, old = (shown(repr(getattr(one, field)), 100) for one in (definition, ours))
                return Refusal(
                    "conflict",
                    f"{definition.name}: {field} {new} contradicts {old}, which another process "
                    "defined first",
                )
        return known

    def _excess(self, definition: Definition, owner: int) -> Refusal | None:
        limits = self.limits
        while owner != NOBODY and self._n_of[owner] >= limits.families_per_uid:
            if not self.store.make_way(owner):
                return Refusal(
                    "families_per_uid",
                    f"{definition.name}: uid {uid_of(owner)} has {limits.families_per_uid} "
                    "families already; see store.max_families_per_uid",
                )
        while self.limited() >= limits.families:
            if not self.store.make_way(None):
                return Refusal(
                    "families",
                    f"{definition.name}: there are {limits.families} families already; "
                    "see store.max_families",
                )
        return None

    def limited(self) -> int:
        """How many families the emitters have defined."""
        return len(self._by_id) - self._n_unlimited

    def of_emitters(self) -> list[Family]:
        """Those that are defined by name: without the exceptions that belong to calls."""
        return [family for family in self._by_name.values() if family.is_limited]

    def most_of_a_uid(self) -> int:
        """How many families the user with the most of them has."""
        return max((n for owner, n in self._n_of.items() if owner != NOBODY), default=0)

    def _known(self, definition: Definition, owner: int) -> Family | Refusal | None:
        """Returns the family that has this definition already, or a refusal if one of its names is
        another's. None: they are free now; another user's family that is not in use gives way."""
        known = self._by_name.get(definition.name)
        if known is not None:
            found = self._agree(known, definition)
            if isinstance(found, Family) or not self.give_way(known, owner):
                return found
        for name in sorted(sample_names(definition)):
            other = self._claimed.get(name)
            if other is not None and not self.give_way(self._by_name[other], owner):
                return Refusal(
                    "conflict", f"{definition.name}: its sample {name} is one of {other}"
                )
        return None

    def _define(self, wanted: Sequence[Definition], owner: int) -> Family:
        """Makes families: all of them, or none."""
        made = [
            self._make(definition, id, owner) for id, definition in enumerate(wanted, self._next_id)
        ]
        run = self.store.find(sum(family.first_chunk_rows * family.width for family in made))
        entries, chunks, first = [], [], run.first
        for family in made:
            part = CellRun(first, family.first_chunk_rows * family.width)
            first += part.n
            placed, chunk = family.place(part)
            entries += [_entry_of(family), placed]
            chunks.append(chunk)
        self.store.afford(owner, sum(map(_size_of, made)), run.n)
        kept = self.store.reserved_bytes + sum(family.overflow_bytes for family in made)
        self.store.append(entries, run, kept)
        self.store.reserved_bytes = kept
        for family, chunk in zip(made, chunks, strict=True):
            self._add(family)
            family.add_chunk(chunk)
        return made[0]

    def remove(self, families: Iterable[Family]) -> None:
        """Lets go of families that nobody holds, with all their series. Raises StoreFull where the
        disk is full: then some are gone, and some of the series of another."""
        gone: list[Family] = []
        try:
            for family in families:
                parts = parts_of(family)
                for part in parts:
                    rows = np.flatnonzero(part.used()).tolist()
                    self.exemplars.forget(part, rows)
                    part.remove(rows)
                self.store.remove([Entry(EntryKind.GONE, 0, part.id, 0, b"") for part in parts])
                for part in parts:
                    self.store.reserved_bytes -= part.overflow_bytes
                    self._drop(part)
                gone += parts
        finally:
            self.on_gone(gone)

    def _drop(self, family: Family) -> None:
        del self._by_id[family.id]
        self._n_of[family.owner] -= 1
        name = family.definition.name
        if self._by_name.get(name) is family:
            del self._by_name[name]
            for sample in sample_names(family.definition):
                if self._claimed[sample] == name:
                    del self._claimed[sample]
        family.give_back_all()
        self.store.shares.add(family.owner, -_size_of(family), 0)

    def _make(self, definition: Definition, id: int, owner: int) -> Family:
        family = self._bare(definition, id, owner)
        if isinstance(family, HistogramFamily):
            fine = self.limits.native_histograms
            family.count_in(exponential.covering(definition.bounds) if fine else None)
        return family

    def _bare(self, definition: Definition, id: int, owner: int) -> Family:
        kind = _KINDS.get(definition.type, Family)
        family = kind(id, definition, self.store, self.limits, self._on_overflow, self._now, owner)
        family.ruling = Ruling(self._label_rules, definition)
        return family

    def _restored(self, entry: Entry) -> Family:
        schema, lowest, n = _EXPONENTIAL.unpack_from(entry.payload)
        payload = entry.payload[_EXPONENTIAL.size :]
        definition = decode_definition(entry.type, entry.of, payload)
        family = self._bare(definition, entry.id, entry.owner)
        if isinstance(family, HistogramFamily):
            family.count_in(ExponentialBounds(schema, lowest, n) if n else None)
        return family

    def _add(self, family: Family) -> None:
        definition = family.definition
        before = self._by_id.get(family.id - 1)
        self._by_id[family.id] = family
        self._next_id = family.id + 1
        self._n_of[family.owner] += 1
        self.store.shares.add(family.owner, _size_of(family), 0)
        if isinstance(before, CallFamily) and before.exceptions is None:
            before.exceptions = family  # nobody else can define these
            return
        self._by_name[definition.name] = family
        for name in sample_names(definition):
            self._claimed[name] = definition.name


# Of a family's entry, before its definition: the exponential bounds that its rows were made for.
# None: there are no such.
_EXPONENTIAL = struct.Struct("=iiI")
_NONE = ExponentialBounds(0, 0, 0)
_KINDS = {layout.TYPE_CALLS: CallFamily, layout.TYPE_HISTOGRAM: HistogramFamily}


def _entry_of(family: Family) -> Entry:
    definition = family.definition
    found = family.exponential if isinstance(family, HistogramFamily) else None
    return Entry(
        EntryKind.FAMILY,
        definition.type,
        family.id,
        len(definition.bounds),
        _EXPONENTIAL.pack(*(found or _NONE)) + encode_definition(definition),
        family.owner,
    )


def parts_of(family: Family) -> list[Family]:
    """The family, and that of the exceptions of its calls."""
    if isinstance(family, CallFamily) and family.exceptions is not None:
        return [family, family.exceptions]
    return [family]


def _size_of(family: Family) -> int:
    return _entry_of(family).size_bytes


def exceptions_of(definition: Definition) -> Definition:
    """The counters of exceptions that belong to a family of calls."""
    return Definition(
        layout.TYPE_COUNTER,
        definition.name + CALL_EXCEPTIONS,
        f"{definition.help}: exceptions",
        "",
        "",
        (*definition.label_names, "exception"),
        (),
    )
