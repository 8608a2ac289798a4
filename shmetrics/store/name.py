# SPDX-License-Identifier: Apache-2.0
"""A name, and the families that have it: one for each shape.

A new release may define a metric with other labels or buckets while processes of the old one still
run. Each shape is a family with rows of its own, so that no event of either is lost. They are shown
as one, the way that the newest definition of a living process says.
"""

from __future__ import annotations

from collections.abc import Iterator

from shmetrics.dictionary import Definition
from shmetrics.sample_names import sample_names
from shmetrics.store.family import Family
from shmetrics.store.holders import Holder

Shape = tuple[object, ...]


def shape_of(definition: Definition) -> Shape:
    """Return what two definitions of one name have in common if they are one family."""
    return (
        definition.type,
        definition.label_names,
        definition.bounds,
        definition.mode.endswith("all"),  # then the label `pid` is the collector's
    )


class Name:
    """A name with at least one shape. All its shapes are of one type.

    Attributes:
        text: the name.
        line: the name in one line, for people.
        shapes: its families, the newest first.
    """

    def __init__(self, first: Family) -> None:
        """Begin with one shape."""
        self.text = first.definition.name
        self.line = repr(self.text)[1:-1]
        self.shapes = [first]

    def __iter__(self) -> Iterator[Family]:
        """Iterate over a copy of the list, the newest shape first."""
        return iter(list(self.shapes))

    @property
    def newest(self) -> Family:
        """Return the newest shape."""
        return self.shapes[0]

    @property
    def owner(self) -> int:
        """Return the owner of the oldest shape, whose name it counts as."""
        return min(self.shapes, key=lambda shape: shape.id).owner

    @property
    def is_held(self) -> bool:
        """Return whether anybody holds a shape of it."""
        return any(shape.is_held for shape in self.shapes)

    def has(self, holder: Holder) -> bool:
        """Return whether a certain holder has a shape of it."""
        return any(holder in shape.holders for shape in self.shapes)

    def holder(self) -> str:
        """Return the process that holds it for longest, for people."""
        held = [shape.holders.oldest() for shape in self.shapes if shape.is_held]
        return min(held).process if held else "another process"

    def sample_names(self) -> set[str]:
        """Return every name under which it or its samples appear on `/metrics`."""
        return sample_names(self.newest.definition)

    def find(self, definition: Definition) -> Family | None:
        """Return the shape of a definition, or None."""
        wanted = shape_of(definition)
        return next((one for one in self.shapes if shape_of(one.definition) == wanted), None)

    def arrange(self) -> None:
        """Put the newest shape first: of the held shapes, the one that was defined last."""
        if len(self.shapes) == 1:
            return
        held = [shape for shape in self.shapes if shape.is_held]
        held.sort(key=lambda shape: shape.holders.since(), reverse=True)
        self.shapes = held + [shape for shape in self.shapes if not shape.is_held]
