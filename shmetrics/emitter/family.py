# SPDX-License-Identifier: Apache-2.0
"""A metric family of this process: one family, however often its instrument is made.

A service may make an instrument again: in a poll, for each connection, or because a module is
loaded again. It then gets the family that exists, with its children and its budget. The family
stays even if the first instrument is deleted. A forked child keeps it as well, and defines it anew
in its own lane.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition, encode_definition, encode_strings
from shmetrics.emitter.definition_budget import DefinitionBudget
from shmetrics.emitter.label_rules import CurrentRules
from shmetrics.emitter.problems import problems
from shmetrics.notices import Notice

# More than any lane is meant for. A process that makes new names without end gets more families,
# but only their instruments hold them.
MAX_FAMILIES = 10_000

# Longer label values are not remembered if a rule changes them.
MAX_RULED_CHARS = 500

_BUDGET = Notice(
    "",
    "budget",
    "label values that are too long or too many are counted as __overflow__",
    "give its labels fewer and shorter values, or see [[labels]]",
)

Child = TypeVar("Child", bound=_ring.Series)


class Family(Generic[Child]):
    """A family with its children, the budget for them, and the child for overflow.

    Attributes:
        definition: name, type and labels.
        ring: the family as the compiled binding has it.
        budget: the bound for definitions.
        rules: applies the label rules to values.
        children: the children by label values, in the order of the labels, and those of values that
            the label rules have changed.
        overflow: the child that counts events whose labels exceed the budget.
    """

    __slots__ = ("_make", "budget", "children", "definition", "overflow", "ring", "rules")

    def __init__(
        self, definition: Definition, make: Callable[[Family[Child], bytes | None], Child]
    ) -> None:
        """Define a family.

        Args:
            definition: what the family is.
            make: makes a child of a family from the payload of its dictionary entry, or the
                overflow child from None.
        """
        self.definition = definition
        self.ring = _ring.Family(
            definition.type, array("d", definition.bounds), encode_definition(definition)
        )
        self.budget = DefinitionBudget()
        self.rules = CurrentRules(definition)
        self.children: _ring.Children[Child] = _ring.Children()
        self._make = make
        self.overflow = make(self, None)

    def new_child(self, values: tuple[str, ...]) -> Child:
        """Return a child for label values that have no child yet.

        The label rules change the values first. The result is the child of the changed values,
        made if there is none, or the overflow child if the budget is used up.
        """
        number = _ring.rules_number()
        ruled = self.rules(values)
        child = self.children.get(ruled)
        if child is None:
            payload = self.budget.payload(ruled)
            if payload is None:
                problems.note(_BUDGET._replace(metric=self.definition.name))
                return self.overflow
            made = self._make(self, payload)
            child = self.children.setdefault(_latest(ruled), made)
            if child is not made:  # another thread was faster
                self.budget.give_back(payload)
            _ring.declare(child)
        if ruled != values and sum(map(len, values)) <= MAX_RULED_CHARS:
            self.children.put_ruled(values, child, number)
        return child

    def remove(self, values: tuple[str, ...]) -> None:
        """Remove the child of these label values, if there is one."""
        payload = encode_strings(values)  # first: there may be no memory for it
        child = self.children.pop(values)
        if child is None:
            return
        _ring.remove_series(child)
        self.budget.give_back(payload)
        for name in _ring.exceptions_of(child):
            self.budget.give_back(encode_strings((name,)))


@lru_cache(maxsize=1)
def _latest(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return label values, and for those of the last call the same object.

    Programs make children with the same labels in many families, one after the other; their
    families share these values.
    """
    return values


def family_of(
    definition: Definition, make: Callable[[Family[Child], bytes | None], Child]
) -> Family[Child]:
    """Return the family with this definition, and make it if there is none.

    Definitions that differ only in their help are of one family, which keeps the first help.
    """
    shape = definition.shape()
    found: Any = _ring.families.get(shape)
    if found is None:
        found = Family(definition, make)
        if len(_ring.families) < MAX_FAMILIES:
            found = _ring.families.setdefault(shape, found)
    family: Family[Child] = found
    _supersede(family)
    return family


def _supersede(family: Family[Any]) -> None:
    """Make a family the newest of its name.

    The one before it is defined no more, but where an older instrument of it still records.
    """
    name = family.definition.name
    if family.definition.type == layout.TYPE_SPANS:  # these have no name
        return
    if name in _ring.newest or len(_ring.newest) < MAX_FAMILIES:
        _ring.newest[name] = family
