# SPDX-License-Identifier: Apache-2.0
"""All families of the node: defined by emitters, restored from the store's log, and removed.

A name may have several families, one for each shape: see name.py.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from shmetrics import definitions, layout
from shmetrics.definitions import Refusal
from shmetrics.dictionary import Definition
from shmetrics.label_rules.rule import FamilyRules, Rule
from shmetrics.store import exponential, family_entry
from shmetrics.store.exemplars import Exemplars
from shmetrics.store.family import Family
from shmetrics.store.histograms import CallFamily, HistogramFamily, exceptions_of
from shmetrics.store.holders import COLLECTOR, Holder, Metadata
from shmetrics.store.leaving import LeavingSeries
from shmetrics.store.limits import Limits
from shmetrics.store.log import StoreDamaged, StoreFull
from shmetrics.store.log_entry import Entry, EntryKind
from shmetrics.store.name import Name, shape_of
from shmetrics.store.names import Names
from shmetrics.store.shares import NOBODY, uid_of
from shmetrics.store.store import CellRun, Store

MAX_HELP_WRITTEN = 1000  # characters of a help text that is written down again


def refusal_of(definition: Definition, full: StoreFull) -> Refusal:
    """Return the refusal of a metric for which the store has no room."""
    reason = "store_full" if full.owner is None else "store_bytes_per_uid"
    why, _, _ = str(full).partition("; ")  # a refusal has its own mend
    return Refusal(reason, f"{repr(definition.name)[1:-1]}: {why}")


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
        self.names = Names()
        self.exemplars = Exemplars(limits.exemplars)
        self.leaving = LeavingSeries(self.exemplars)
        self._on_overflow = on_overflow
        self._now = now
        self._label_rules = label_rules
        self.free_family: Callable[[int | None], bool] = lambda owner: False
        """Removes an unused family of this owner, or of anybody for None; returns if it did."""
        self.remove_if_unused: Callable[[Family, int], bool] = lambda family, owner: False
        """Removes a family that is in the way of this owner's, if it may; returns if it did."""
        self.on_removed: Callable[[Sequence[Family]], None] = lambda parts: None
        """Called with families that were removed, and with the exceptions that belonged to them."""
        self.is_catching_up = False
        """True while lanes are read that an earlier collector left: any may hold any name."""
        self._by_id: dict[int, Family] = {}
        self._next_id = 0
        self._n_of: Counter[int] = Counter()  # families by owner
        self._n_unlimited = 0
        self._unsettled: set[str] = set()  # names of which other definitions may count now
        self._freed: set[str] = set()  # names that lost their last holder, or went
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
                family.chunks.renew_views()

    def _restore(self, entry: Entry) -> None:
        """Apply one entry of the store's log. Raises StoreDamaged."""
        try:
            if entry.kind == EntryKind.FAMILY:
                if entry.id >= self._next_id:
                    self._add(self._restored(entry))
                else:
                    self._restore_metadata(entry)
            elif entry.kind == EntryKind.GONE:
                self._drop(self._by_id[entry.id])
            elif entry.kind != EntryKind.EXPIRED:
                self._by_id[entry.of].restore(entry)
        except (ValueError, LookupError, ArithmeticError, struct.error) as error:
            raise StoreDamaged(f"{self.store.path}: the store's log is damaged: {error}") from None

    def __iter__(self) -> Iterator[Family]:
        """Iterate over a copy of the list, so that families may go meanwhile."""
        return iter(list(self._by_id.values()))

    def of_id(self, id: int) -> Family:
        """Return the family with this number. Raises LookupError if there is none."""
        return self._by_id[id]

    def most_series(self) -> int:
        """Return the most series that one user has in one family."""
        return max((family.quota.most() for family in self if family.is_limited), default=0)

    def longest_label_bytes(self) -> int:
        """Return the length of the longest label value, in bytes."""
        return max(
            (family.index.longest_label_bytes for family in self if family.is_limited), default=0
        )

    def define(self, definition: Definition, owner: int = NOBODY) -> Family | Refusal:
        """Return the family of a definition, and make it if it is new.

        Args:
            definition: the definition of an emitter.
            owner: the owner for whom it is made, see shares.py.

        Returns:
            The family, or a refusal with its reason.
        """
        refusal = definitions.check(definition) or self._obstacle(definition, owner)
        if refusal is not None:
            return refusal
        name = self.names.get(definition.name)
        found = None if name is None else name.find(definition)
        if found is not None:  # not "if found": a family without series is false
            return found
        refusal = self._excess(definition, owner, name is not None)
        if refusal is not None:
            return refusal
        wanted = [definition]
        if definition.type == layout.TYPE_CALLS:
            wanted.append(exceptions_of(definition))
        try:
            return self.store.attempt(lambda: self._define(wanted, owner))
        except StoreFull as full:
            return refusal_of(definition, full)

    def define_own(self, definition: Definition, is_limited: bool = True) -> Family:
        """Return a family of the collector's own, and make it if it is new.

        No emitter can define a family with its name. What an older version has left under that name
        in another shape is removed.

        Args:
            definition: its definition.
            is_limited: False if its label values are few, and the collector's own instead of
                emitters'.

        Raises:
            StoreFull: the store has no room for it.
        """
        name = self.names.get(definition.name)
        family = None if name is None else name.find(definition)
        if name is not None:
            self.remove([shape for shape in name if shape is not family])
        if family is None:  # not "if not family": a family without series is false
            family = self._define([definition], NOBODY)
        self._n_unlimited += family.is_limited - is_limited
        family.is_limited = is_limited
        self.hold(family, definition, COLLECTOR)
        return family

    def remove_reserved(self) -> None:
        """Remove families that nobody holds, and whose names belong to the collector.

        A store of an older version may have them: call this after all own families are defined.

        Raises:
            StoreFull: the disk is full.
        """
        self.remove(
            family
            for name in self.names.defined()
            if not name.is_held and any(map(definitions.is_reserved, name.sample_names()))
            for family in name
        )

    # ---- holders ----------------------------------------------------------------------------

    def hold(self, family: Family, definition: Definition, holder: Holder) -> None:
        """Keep a family from being removed, until release().

        Args:
            family: the family.
            definition: the holder's definition of it.
            holder: the holder.
        """
        family.holders.add(holder, Metadata.of(definition))
        self._unsettled.add(family.definition.name)

    def release(self, family: Family, definition: Definition, holder: Holder) -> None:
        """Undo hold(). What the last holder says of the family stays."""
        name = family.definition.name
        if family.holders.are_one:
            self.settle()
        family.holders.discard(holder, Metadata.of(definition))
        self._unsettled.add(name)
        if not family.is_held:
            self._freed.add(name)

    def end_catching_up(self) -> None:
        """Note that all lanes were read: a name that nobody holds now is free."""
        self.is_catching_up = False
        self._freed.update(name.text for name in self.names.defined() if not name.is_held)

    def take_freed(self) -> set[str]:
        """Return the names that lost their last holder since the last call, or still have none.

        A definition that such a name was in the way of may be taken now.
        """
        freed = self._freed
        # What another user has left may have to stay until it was scraped: ask again.
        names = filter(None, map(self.names.get, freed))
        self._freed = {name.text for name in names if not name.is_held}
        return freed

    def settle(self) -> None:
        """For each name whose holders have changed, let the newest definition count."""
        while self._unsettled:
            name = self.names.get(self._unsettled.pop())
            if name is not None:
                name.arrange()
                if name.newest.is_held:
                    self._describe(name.newest, name.newest.holders.metadata())

    def _describe(self, family: Family, metadata: Metadata) -> None:
        """Give a family other metadata, and write that down if there is room.

        If not, the next collector hears of it from the holders. The room is the family's owner's,
        who may be another user than the holder: so a long text is not written down.
        """
        if Metadata.of(family.definition) == metadata:
            return
        parts = parts_of(family)
        family.definition = family.definition._replace(**metadata._asdict())
        if isinstance(family, CallFamily) and family.exceptions is not None:
            family.exceptions.definition = exceptions_of(family.definition)
        if len(metadata.help) <= MAX_HELP_WRITTEN:
            with contextlib.suppress(StoreFull):
                self.store.append(
                    list(map(family_entry.encode, parts)), None, self.store.reserved_bytes
                )
                for part in parts:
                    self._count_entry(part)

    def _count_entry(self, family: Family) -> None:
        """Count the entry of a family that the log has now as its owner's."""
        size_bytes = family_entry.encode(family).size_bytes
        self.store.shares.add(family.owner, size_bytes - family.entry_bytes, 0)
        family.entry_bytes = size_bytes

    # ---- limits -----------------------------------------------------------------------------

    def _excess(self, definition: Definition, owner: int, is_shape: bool = False) -> Refusal | None:
        """Return a refusal if one more family exceeds a limit, else None.

        Unused families are removed as far as that helps. Another shape of a name does not count as
        a name, so that a new release can come where there are as many names as may be; of these
        there may be as many once more.
        """
        limits, n = self.limits, 2 if is_shape else 1
        count = self._n_of.__getitem__ if is_shape else self.names.n_of
        while owner != NOBODY and count(owner) >= n * limits.families_per_uid:
            if not self.free_family(owner):
                return Refusal(
                    "families_per_uid",
                    f"{definition.name}: uid {uid_of(owner)} has {limits.families_per_uid} "
                    "families already",
                )
        while (self._n_shapes() if is_shape else self.limited()) >= n * limits.families:
            if not self.free_family(None):
                return Refusal(
                    "families",
                    f"{definition.name}: there are {limits.families} families already",
                )
        return None

    def _n_shapes(self) -> int:
        """Return the number of families that the emitters have defined, by shape."""
        return len(self._by_id) - self._n_unlimited

    def limited(self) -> int:
        """Return the number of names that the emitters have defined, and of calls' exceptions."""
        return len(self.names) - self._n_unlimited

    def of_emitters(self) -> list[Family]:
        """Return the families that emitters have defined, without the exceptions of calls."""
        return [family for name in self.names.defined() for family in name if family.is_limited]

    def _obstacle(self, definition: Definition, owner: int) -> Refusal | None:
        """Return the refusal of a definition if another family has one of its names, else None.

        A family that nobody holds is removed for it.
        """
        for name, wrong in self.names.conflicts(definition):
            if not self._clear(name, owner):
                line = repr(definition.name)[1:-1]
                return Refusal("conflict", f"{line}: {wrong}, which {name.holder()} has", name.text)
        return None

    def _clear(self, name: Name, owner: int) -> bool:
        """Remove a name for the definition of an owner, if nobody holds it; return whether it went.

        What another owner has left stays until it was scraped, see unused.py.
        """
        if name.is_held or self.is_catching_up:
            return False
        for shape in name:
            if shape.owner != owner and not self.remove_if_unused(shape, owner):
                return False
        try:
            self.remove(list(name))
        except StoreFull:
            return False
        return True

    def _define(self, wanted: Sequence[Definition], owner: int) -> Family:
        """Make the families of several definitions: all of them or none. Raises StoreFull."""
        made = [
            self._make(definition, id, owner) for id, definition in enumerate(wanted, self._next_id)
        ]
        run = self.store.find(sum(family.chunks.first_chunk_rows * family.width for family in made))
        entries, chunks, first = [], [], run.first
        for family in made:
            part = CellRun(first, family.chunks.first_chunk_rows * family.width)
            first += part.n
            placed, chunk = family.chunks.place(0, part, family.owner)
            entries += [family_entry.encode(family), placed]
            chunks.append(chunk)
        log_bytes = sum(family_entry.encode(family).size_bytes for family in made)
        self.store.check_share(owner, log_bytes, run.n)
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
                    rows = np.flatnonzero(part.index.used()).tolist()
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
        if self.names.drop(family):
            self._freed.add(family.definition.name)
        family.chunks.drop_all()
        self.store.shares.add(family.owner, -family.entry_bytes, 0)

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
        definition, exponential_bounds = family_entry.decode(entry)
        family = self._bare(definition, entry.id, entry.owner)
        if isinstance(family, HistogramFamily):
            family.count_in(exponential_bounds)
        return family

    def _restore_metadata(self, entry: Entry) -> None:
        """Apply an entry with other metadata of a known family.

        Raises LookupError, ValueError or struct.error.
        """
        family, again = self._by_id[entry.id], self._restored(entry)
        if shape_of(again.definition) != shape_of(family.definition):
            raise ValueError(f"family {entry.id} has two shapes")
        family.definition = again.definition
        self._count_entry(family)

    def _add(self, family: Family) -> None:
        """Make a family known by its name, or as the exceptions of the calls before it."""
        before = self._by_id.get(family.id - 1)
        self._by_id[family.id] = family
        self._next_id = family.id + 1
        self._n_of[family.owner] += 1
        self._count_entry(family)
        calls = before if isinstance(before, CallFamily) and before.exceptions is None else None
        if calls is not None:
            calls.exceptions = family
        self.names.add(family, is_exceptions=calls is not None)
        self._unsettled.add(family.definition.name)


_KINDS = {layout.TYPE_CALLS: CallFamily, layout.TYPE_HISTOGRAM: HistogramFamily}


def parts_of(family: Family) -> list[Family]:
    """Return the family, and for calls the family of their exceptions."""
    if isinstance(family, CallFamily) and family.exceptions is not None:
        return [family, family.exceptions]
    return [family]
