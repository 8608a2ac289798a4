# SPDX-License-Identifier: Apache-2.0
"""The holders of a family: the processes that have it now, by their definition of it."""

from __future__ import annotations

from typing import NamedTuple

from shmetrics.dictionary import Definition


class Metadata(NamedTuple):
    """The part of a definition in which processes may differ although they have the same family.

    Attributes:
        help: the help text.
        unit: the unit, or "".
        mode: the multiprocess_mode of a gauge, or "".
    """

    help: str
    unit: str
    mode: str

    @classmethod
    def of(cls, definition: Definition) -> Metadata:
        """Return the metadata of a definition."""
        return cls(definition.help, definition.unit, definition.mode)


class Holder(NamedTuple):
    """A holder. Of two, the one that is greater came later.

    Attributes:
        lane_id: the number of its lane; 0 for the collector.
        number: the number of the family in that lane.
        process: its name for people.
    """

    lane_id: int
    number: int
    process: str


COLLECTOR = Holder(0, 0, "the collector")


class Holders:
    """The holders of one family.

    A definition is as old as the oldest holder that has it. So a process that starts late with the
    definition of an old release does not make that definition new.
    """

    def __init__(self) -> None:
        """Begin without holders."""
        self._by_metadata: dict[Metadata, set[Holder]] = {}

    def __bool__(self) -> bool:
        """Return whether there is a holder."""
        return bool(self._by_metadata)

    def __contains__(self, holder: Holder) -> bool:
        """Return whether it is one of them."""
        return any(holder in holders for holders in self._by_metadata.values())

    @property
    def are_one(self) -> bool:
        """Return whether there is one holder."""
        return sum(map(len, self._by_metadata.values())) == 1

    def add(self, holder: Holder, metadata: Metadata) -> None:
        """Add a holder, which defines the family with this metadata."""
        self._by_metadata.setdefault(metadata, set()).add(holder)

    def discard(self, holder: Holder, metadata: Metadata) -> None:
        """Remove a holder."""
        holders = self._by_metadata.get(metadata, set())
        holders.discard(holder)
        if not holders:
            self._by_metadata.pop(metadata, None)

    def oldest(self) -> Holder:
        """Return the oldest holder. Raises ValueError without any."""
        return min(map(min, self._by_metadata.values()))

    def since(self) -> Holder:
        """Return the oldest holder with the newest metadata. Raises ValueError without any."""
        return max(map(min, self._by_metadata.values()))

    def metadata(self) -> Metadata:
        """Return the newest metadata. Raises ValueError without any holder."""
        if len(self._by_metadata) == 1:  # mostly
            return next(iter(self._by_metadata))
        return max(self._by_metadata, key=lambda metadata: min(self._by_metadata[metadata]))
