# SPDX-License-Identifier: Apache-2.0
"""A metric family of this process: there is one of it, however often its instrument is made.

Making an instrument again, in a poll, per connection, or because its module is loaded again, finds
the family that is there, with its children and its room. It is there even if nobody holds the first
instrument any more, and in a forked child, which defines it anew in its own lane.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition, encode_definition
from shmetrics.emitter.definition_budget import DefinitionBudget
from shmetrics.emitter.label_rules import Ruled

# So many are kept, more than any lane is meant for. If a process makes new names without end, those
# that are beyond are kept by their instruments alone.
MAX_FAMILIES = 10_000

Child = TypeVar("Child")


class Family(Generic[Child]):
    """Its series by label values, the room that they take, and one for what has no room.

    make: makes a series of a family out of the payload of its dictionary entry; None for overflow.
    """

    __slots__ = ("_make", "budget", "children", "definition", "overflow", "ring", "ruled")

    def __init__(
        self, definition: Definition, make: Callable[[Family[Child], bytes | None], Child]
    ) -> None:
        self.definition = definition
        self.ring = _ring.Family(
            definition.type, array("d", definition.bounds), encode_definition(definition)
        )
        self.budget = DefinitionBudget()
        self.ruled = Ruled(definition)
        self.children: dict[tuple[str, ...], Child] = {}
        self._make = make
        self.overflow = make(self, None)

    def new_child(self, values: tuple[str, ...]) -> Child:
        """A child for values that have none: their own, that of what the label rules make of them,
        or the one for all that have no room."""
        values = self.ruled(values)
        child = self.children.get(values)
        if child is not None:
            return child
        payload = self.budget.payload(values)
        if payload is None:
            return self.overflow
        made = self._make(self, payload)
        child = self.children.setdefault(values, made)
        if child is not made:  # another thread was faster
            self.budget.give_back(payload)
        return child


def family_of(
    definition: Definition, make: Callable[[Family[Child], bytes | None], Child]
) -> Family[Child]:
    """The family with this name and shape, made if there is none. The first one's help stays."""
    shape = definition.shape()
    found: Any = _ring.families.get(shape)
    if found is None:
        found = Family(definition, make)
        if len(_ring.families) < MAX_FAMILIES:
            found = _ring.families.setdefault(shape, found)
    family: Family[Child] = found
    return family
