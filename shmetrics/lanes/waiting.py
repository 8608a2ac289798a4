# SPDX-License-Identifier: Apache-2.0
"""The families of a lane that wait for a name, with their series.

A name may be another process's. Its family is refused as long as that process has it, and bound
with all its series once the name is free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from shmetrics.definitions import Refusal
from shmetrics.dictionary import Definition


class WaitingSeries(NamedTuple):
    """A series that waits for its family.

    Attributes:
        id: its id in the lane.
        values: its label values; of an exception, those of its calls.
        exception: the class of an exception; None if it is none.
    """

    id: int
    values: tuple[str, ...]
    exception: str | None = None


class WaitingFamily(NamedTuple):
    """A definition that waits until nobody holds the name that is in its way.

    Attributes:
        definition: the definition, as the lane has it.
        refusal: why it has to wait; None if its family is being removed by hand.
        series: its series, by their ids.
        is_ruled: whether label rules have been applied to their values.
    """

    definition: Definition
    refusal: Refusal | None
    series: dict[int, WaitingSeries]
    is_ruled: bool = False


class Waiting:
    """The families of one lane that wait, by their numbers in the lane, from 0."""

    def __init__(self) -> None:
        """Begin without any."""
        self._families: dict[int, WaitingFamily] = {}
        self._calls: dict[int, tuple[WaitingFamily, tuple[str, ...]]] = {}  # by their ids

    def __contains__(self, number: int) -> bool:
        """Return whether the family of a number waits."""
        return number in self._families

    def add(self, number: int, family: WaitingFamily) -> None:
        """Let a family wait, or wait on for another name."""
        self._families[number] = family

    def discard(self, number: int) -> None:
        """Let a family wait no more, if it does. Its calls stay known until they are placed."""
        self._families.pop(number, None)

    def ready(self, freed: Collection[str]) -> Iterator[tuple[int, WaitingFamily]]:
        """Yield the families that have waited for one of these names, or for none."""
        for number in sorted(self._families):
            family = self._families[number]
            if family.refusal is None or family.refusal.obstacle in freed:
                yield number, family

    def add_series(self, number: int, id: int, values: tuple[str, ...], is_call: bool) -> None:
        """Let a series wait with its family.

        Args:
            number: the family.
            id: the series.
            values: its label values.
            is_call: whether it may get exceptions.
        """
        family = self._families[number]
        family.series[id] = WaitingSeries(id, values)
        if is_call:
            self._calls[id] = family, values

    def has_calls(self, id: int) -> bool:
        """Return whether a series of calls waits."""
        return id in self._calls

    def add_exception(self, id: int, of: int, class_name: str) -> None:
        """Let an exception wait with its calls.

        Args:
            id: the series of the exception.
            of: the series of the calls, which wait.
            class_name: the class.
        """
        family, values = self._calls[of]
        family.series[id] = WaitingSeries(id, values, class_name)

    def forget_calls(self, id: int) -> None:
        """Forget calls that wait no more, if they did."""
        self._calls.pop(id, None)

    def remove(self, ids: Collection[int]) -> None:
        """Remove series that their process has removed, as far as they wait."""
        for id in ids:
            self._calls.pop(id, None)
        for family in self._families.values():
            for id in ids:
                family.series.pop(id, None)
