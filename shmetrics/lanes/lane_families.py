# SPDX-License-Identifier: Apache-2.0
"""The families as one lane has defined them, and the families of the node that they belong to.

A family that is refused because a name is another process's waits, see waiting.py.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from shmetrics import layout
from shmetrics.definitions import Refusal
from shmetrics.dictionary import Definition, decode_definition
from shmetrics.lanes.lane_files import Owner
from shmetrics.lanes.refusals import Refusals
from shmetrics.lanes.waiting import Waiting, WaitingFamily, WaitingSeries
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges
from shmetrics.store.holders import Holder
from shmetrics.store.self_metrics import SelfMetrics


class LaneFamily(NamedTuple):
    """A family as one lane defined it, and the family of the node that it belongs to.

    Attributes:
        type: the type in the lane's definition, `_ring.TYPE_*`.
        n_bounds: the number of bucket bounds in the lane's definition.
        n_labels: the number of label names in the lane's definition.
        family: the family of the node; None if it was refused or waits, or if the entry is about
            spans.
        definition: the definition by which the lane holds the family; None without a family.
    """

    type: int
    n_bounds: int
    n_labels: int
    family: Family | None
    definition: Definition | None = None


class LaneFamilies:
    """The families of one lane, by their numbers in the lane, from 0.

    Attributes:
        waiting: those that wait for a name.
    """

    def __init__(
        self,
        owner: Owner,
        lane_id: int,
        families: Families,
        gauges: Gauges,
        self_metrics: SelfMetrics,
        refusals: Refusals,
    ) -> None:
        """Begin without any.

        Args:
            owner: the process that the lane belongs to.
            lane_id: the lane.
            families: all families of the node.
            gauges: the gauge families of the node.
            self_metrics: keeps cells for what it counts by family.
            refusals: what of the lane is refused.
        """
        self.waiting = Waiting()
        self._owner = owner
        self._lane_id = lane_id
        self._families = families
        self._gauges = gauges
        self._self_metrics = self_metrics
        self._refusals = refusals
        self._defined: list[LaneFamily] = []

    def __len__(self) -> int:
        """Return the number of families that the lane has defined, with those that were refused."""
        return len(self._defined)

    def __getitem__(self, number: int) -> LaneFamily:
        """Return the family of a number."""
        return self._defined[number]

    def names(self) -> frozenset[str]:
        """Return the names of those that are taken."""
        return frozenset(
            known.definition.name
            for known in self._defined
            if known.family is not None and known.definition is not None
        )

    def define(self, type: int, n_bounds: int, payload: bytes) -> None:
        """Find or make the node's family for the next definition, refuse it, or let it wait.

        Raises ValueError or struct.error if the payload cannot be decoded.
        """
        definition = decode_definition(type, n_bounds, payload)
        max_families = self._families.limits.families_per_lane
        if len(self) >= max_families:
            text = f"more than {max_families} families in one lane"
            self._refusals.refuse(definition.name, Refusal("families_per_lane", text))
            self._defined.append(LaneFamily(type, n_bounds, 0, None))
            return
        number = len(self)
        self._defined.append(LaneFamily(type, n_bounds, len(definition.label_names), None))
        if type == layout.TYPE_SPANS:  # spans are no metric: the node has no family for them
            return
        found = self._find(definition)
        if not isinstance(found, Refusal):
            self._hold(number, definition, found)
            return
        self._refusals.refuse(definition.name, found)
        if found.obstacle:
            self.waiting.add(number, WaitingFamily(definition, found, {}))

    def try_again(self, number: int, waiting: WaitingFamily) -> Family | None:
        """Take a definition that has waited, or let it wait on.

        Returns:
            The family of the node; None if it waits on.
        """
        name, found = waiting.definition.name, self._find(waiting.definition)
        if waiting.refusal is not None:
            self._refusals.forget(name, waiting.refusal)
        if isinstance(found, Refusal):
            self._refusals.note(name, found)
            self.waiting.add(number, waiting._replace(refusal=found))
        if waiting.refusal is not None:
            self._refusals.tell_if_over(name, waiting.refusal)
        if isinstance(found, Refusal):
            return None
        self._hold(number, waiting.definition, found)
        return found

    def detach(
        self, families: Collection[Family], series: dict[Family, dict[int, WaitingSeries]]
    ) -> None:
        """Let families of the node go that are about to be removed; their definitions wait.

        Args:
            families: the families of the node.
            series: the series of the lane in each of them, which wait, too; taken out.
        """
        for number, known in enumerate(self._defined):
            if known.family in families and known.definition is not None:
                self._release(number)
                assert known.family is not None
                found = series.pop(known.family, {})
                self._defined[number] = known._replace(family=None)
                self.waiting.add(
                    number, WaitingFamily(known.definition, None, found, is_ruled=True)
                )

    def forget(self) -> None:
        """Release every family of the node that the lane holds."""
        for number in range(len(self)):
            self._release(number)
        self._defined.clear()

    def _find(self, definition: Definition) -> Family | Refusal:
        """Find or make the node's family for a definition, or return why it is refused."""
        is_gauge = definition.type == layout.TYPE_GAUGE
        definer = self._gauges if is_gauge else self._families
        return definer.define(definition, self._owner.store_owner)

    def _hold(self, number: int, definition: Definition, family: Family) -> None:
        """Hold the node's family of a family of the lane, and note it."""
        # Before reserve_cells(), which may let unused families go.
        self._families.hold(family, definition, self._holder(number))
        self._self_metrics.reserve_cells(family)
        known = self._defined[number]
        self._defined[number] = known._replace(family=family, definition=definition)
        self.waiting.discard(number)

    def _release(self, number: int) -> None:
        """Release the node's family of a family of the lane, if it has one."""
        known = self._defined[number]
        if known.family is not None and known.definition is not None:
            self._families.release(known.family, known.definition, self._holder(number))

    def _holder(self, number: int) -> Holder:
        """Return the lane as the holder of its family of this number."""
        return Holder(self._lane_id, number, self._owner.text)
