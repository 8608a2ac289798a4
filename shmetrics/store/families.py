# SPDX-License-Identifier: Apache-2.0
"""All families of the node: defined by emitters, restored from the store's log, and removed."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from shmetrics import layout
from shmetrics.dictionary import Definition, decode_definition, encode_definition
from shmetrics.label_rules.rule import FamilyRules, Rule
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
    """All families of the node, by name and by number."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        on_overflow: Callable[[Family], None],
        now: Callable[[], float] = time.time,
        label_rules: Sequence[Rule] = (),
    ) -> None:
        """Restore the families that the store's log has.

        Args:
            store: the store, whose log has not been read yet.
            limits: how much of the emitters' families is kept.
            on_overflow: called with a family when label values are folded into its overflow series.
            now: returns the Unix time in seconds, for the beginning of a series.
            label_rules: the rules for label values, in their order.

        Raises:
            StoreDamaged: the log contradicts itself.
        """
        self.store = store
        self.limits = limits
        self.exemplars = Exemplars(limits.exemplars)
        self._on_overflow = on_overflow
        self._now = now
        self._label_rules = label_rules
        self.remove_if_unused: Callable[[Family, int], bool] = lambda family, owner: False
        """Removes a family that is in the way of this owner's, if it may; returns if it did."""
        self.on_removed: Callable[[Sequence[Family]], None] = lambda parts: None
        """Called with families that were removed, and with the exceptions that belonged to them."""
        self._by_name: dict[str, Family] = {}
        self._by_id: dict[int, Family] = {}
        self._next_id = 0
        self._n_of: Counter[int] = Counter()  # the number of families, by owner
        self._n_unlimited = 0
        self._claimed: dict[str, str] = {}  # sample name to family name
        for entry in store.log:
            self._restore(entry)
        for family in self:
            family.settle()
        store.reserved_bytes = sum(family.overflow_bytes for family in self)

    def resize(self, max_bytes: int) -> None:
        """Give the store another size, if the configuration says so and its content fits.

        Call this before anybody has looked up cells: they may move in memory.
        """
        if self.store.resize(max_bytes):
            for family in self:
                family.look_up_cells()

    def _restore(self, entry: Entry) -> None:
        """Apply one entry of the store's log. Raises StoreDamaged."""
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
        """Iterate over a copy of the list, so that families may go meanwhile."""
        return iter(list(self._by_id.values()))

    def most_series(self) -> int:
        """Return the most series that one user has in one family."""
        return max((family.most_series() for family in self if family.is_limited), default=0)

    def longest_label_bytes(self) -> int:
        """Return the length of the longest label value, in bytes."""
        return max((family.longest_label_bytes for family in self if family.is_limited), default=0)

    def define(self, definition: Definition, owner: int = NOBODY) -> Family | Refusal:
        """Return the family of a definition, and make it if it is new.

        Args:
            definition: the definition of an emitter.
            owner: the owner for whom it is made, see shares.py.

        Returns:
            The family, or a refusal with its reason.
        """
        refusal = definitions.check(definition)
        if refusal is not None:
            return refusal
        found = self._known(definition, owner)
        if found is None:  # not "if not found": a family without series is false
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
        """Return a family of the collector's own, and make it if it is new.

        No emitter can define a family with its name.

        Args:
            definition: its definition.
            is_limited: False if its label values are few, and the collector's own instead of
                emitters'.

        Raises:
            StoreFull: the store has no room for it.
        """
        family = self._by_name.get(definition.name)
        if family is None:  # not "if not family": a family without series is false
            family = self._define([definition], NOBODY)
        self._n_unlimited += family.is_limited - is_limited
        family.is_limited = is_limited
        family.hold()
        return family

    def _agree(self, known: Family, definition: Definition) -> Family | Refusal:
        """Return the family if a definition is the same but for the help text, or a refusal."""
        ours = known.definition
        for field in ("type", "label_names", "bounds", "mode", "unit"):
            if getattr(ours, field) != getattr(definition, field):
                new, old = (shown(repr(getattr(each, field)), 100) for each in (definition, ours))
                return Refusal(
                    "conflict",
                    f"{definition.name}: {field} {new} contradicts {old}, which another process "
                    "defined first",
                )
        return known

    def _excess(self, definition: Definition, owner: int) -> Refusal | None:
        """Return a refusal if one more family exceeds a limit, else None.

        Unused families are removed as far as that helps.
        """
        limits = self.limits
        while owner != NOBODY and self._n_of[owner] >= limits.families_per_uid:
            if not self.store.free_room(owner):
                return Refusal(
                    "families_per_uid",
                    f"{definition.name}: uid {uid_of(owner)} has {limits.families_per_uid} "
                    "families already; see store.max_families_per_uid",
                )
        while self.limited() >= limits.families:
            if not self.store.free_room(None):
                return Refusal(
                    "families",
                    f"{definition.name}: there are {limits.families} families already; "
                    "see store.max_families",
                )
        return None

    def limited(self) -> int:
        """Return the number of families that the emitters have defined."""
        return len(self._by_id) - self._n_unlimited

    def of_emitters(self) -> list[Family]:
        """Return the families that emitters have defined, without the exceptions of calls."""
        return [family for family in self._by_name.values() if family.is_limited]

    def most_of_a_uid(self) -> int:
        """Return the number of families of the user that has the most."""
        return max((n for owner, n in self._n_of.items() if owner != NOBODY), default=0)

    def _known(self, definition: Definition, owner: int) -> Family | Refusal | None:
        """Return the family that has this definition already, or a refusal of a contradiction.

        An unused family of another user is removed for it. None means that all names are free.
        """
        known = self._by_name.get(definition.name)
        if known is not None:
            found = self._agree(known, definition)
            if isinstance(found, Family) or not self.remove_if_unused(known, owner):
                return found
        for name in sorted(sample_names(definition)):
            other = self._claimed.get(name)
            if other is not None and not self.remove_if_unused(self._by_name[other], owner):
                return Refusal(
                    "conflict", f"{definition.name}: its sample {name} is one of {other}"
                )
        return None

    def _define(self, wanted: Sequence[Definition], owner: int) -> Family:
        """Make the families of several definitions: all of them or none. Raises StoreFull."""
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
        self.store.check_share(owner, sum(map(_size_of, made)), run.n)
        reserved_bytes = self.store.reserved_bytes + sum(family.overflow_bytes for family in made)
        self.store.append(entries, run, reserved_bytes)
        self.store.reserved_bytes = reserved_bytes
        for family, chunk in zip(made, chunks, strict=True):
            self._add(family)
            family.add_chunk(chunk)
        return made[0]

    def remove(self, families: Iterable[Family]) -> None:
        """Remove families that nobody holds, with all their series.

        Raises:
            StoreFull: the disk is full. Then some families are gone, and some series of another.
        """
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
            self.on_removed(gone)

    def _drop(self, family: Family) -> None:
        """Forget a family whose removal is in the log, and free its names and its cells."""
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
        """Return a new family, with exponential bounds if it has buckets and the limits
        allow it.
        """
        family = self._bare(definition, id, owner)
        if isinstance(family, HistogramFamily):
            fine = self.limits.native_histograms
            family.count_in(exponential.covering(definition.bounds) if fine else None)
        return family

    def _bare(self, definition: Definition, id: int, owner: int) -> Family:
        """Return a family object without rows, with the label rules that apply to it."""
        kind = _KINDS.get(definition.type, Family)
        family = kind(id, definition, self.store, self.limits, self._on_overflow, self._now, owner)
        family.ruling = FamilyRules(self._label_rules, definition)
        return family

    def _restored(self, entry: Entry) -> Family:
        """Return the family of an entry in the log. Raises ValueError or struct.error."""
        schema, lowest, n = _EXPONENTIAL.unpack_from(entry.payload)
        payload = entry.payload[_EXPONENTIAL.size :]
        definition = decode_definition(entry.type, entry.of, payload)
        family = self._bare(definition, entry.id, entry.owner)
        if isinstance(family, HistogramFamily):
            family.count_in(ExponentialBounds(schema, lowest, n) if n else None)
        return family

    def _add(self, family: Family) -> None:
        """Make a family known by its name, or as the exceptions of the calls before it."""
        definition = family.definition
        before = self._by_id.get(family.id - 1)
        self._by_id[family.id] = family
        self._next_id = family.id + 1
        self._n_of[family.owner] += 1
        self.store.shares.add(family.owner, _size_of(family), 0)
        if isinstance(before, CallFamily) and before.exceptions is None:
            before.exceptions = family  # no emitter can define these
            return
        self._by_name[definition.name] = family
        for name in sample_names(definition):
            self._claimed[name] = definition.name


# The exponential bounds that a family's rows were made for; they precede the definition in its
# entry. _NONE stands for a family without them.
_EXPONENTIAL = struct.Struct("=iiI")
_NONE = ExponentialBounds(0, 0, 0)
_KINDS = {layout.TYPE_CALLS: CallFamily, layout.TYPE_HISTOGRAM: HistogramFamily}


def _entry_of(family: Family) -> Entry:
    """Return the log entry of a family."""
    definition = family.definition
    exponential_bounds = family.exponential if isinstance(family, HistogramFamily) else None
    return Entry(
        EntryKind.FAMILY,
        definition.type,
        family.id,
        len(definition.bounds),
        _EXPONENTIAL.pack(*(exponential_bounds or _NONE)) + encode_definition(definition),
        family.owner,
    )


def parts_of(family: Family) -> list[Family]:
    """Return the family, and for calls the family of their exceptions."""
    if isinstance(family, CallFamily) and family.exceptions is not None:
        return [family, family.exceptions]
    return [family]


def _size_of(family: Family) -> int:
    """Return the bytes of a family's entry in the log."""
    return _entry_of(family).size_bytes


def exceptions_of(definition: Definition) -> Definition:
    """Return the definition of the exception counters that belong to a family of calls."""
    return Definition(
        layout.TYPE_COUNTER,
        definition.name + CALL_EXCEPTIONS,
        f"{definition.help}: exceptions",
        "",
        "",
        (*definition.label_names, "exception"),
        (),
    )
