# SPDX-License-Identifier: Apache-2.0
"""The names of all families: the shapes of each, and the samples that belong to it.

No two names have a sample in common. The exceptions of calls have names that no emitter can define,
because they are samples of the calls.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.sample_names import sample_names
from shmetrics.store.family import Family
from shmetrics.store.name import Name
from shmetrics.store.shares import NOBODY

TYPE_NAMES = {
    layout.TYPE_COUNTER: "counter",
    layout.TYPE_GAUGE: "gauge",
    layout.TYPE_HISTOGRAM: "histogram",
    layout.TYPE_CALLS: "calls",
    layout.TYPE_OBSERVED: "observed counter",
}


class Names:
    """The names of all families, those of the collector among them."""

    def __init__(self) -> None:
        """Begin without names."""
        self._names: dict[str, Name] = {}
        self._exceptions: dict[str, Name] = {}  # of calls
        self._claimed: dict[str, str] = {}  # sample name to family name
        self._n_of: Counter[int] = Counter()  # names by owner

    # ---- looking up -------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of names, with those of calls' exceptions."""
        return len(self._names) + len(self._exceptions)

    def __iter__(self) -> Iterator[Name]:
        """Iterate over a copy of the list; the names of calls' exceptions come last."""
        return itertools.chain(self.defined(), list(self._exceptions.values()))

    def defined(self) -> list[Name]:
        """Return the names that have a definition, which are all but those of calls' exceptions."""
        return list(self._names.values())

    def get(self, text: str) -> Name | None:
        """Return a name with its shapes, or None; the exceptions of calls have none."""
        return self._names.get(text)

    def of(self, family: Family) -> Name:
        """Return the name of a family, which may be that of calls' exceptions."""
        return self._group(family)[family.definition.name]

    def has(self, text: str) -> bool:
        """Return whether a family has this name, or calls their exceptions."""
        return text in self._names or text in self._exceptions

    def shown_as(self, text: str) -> Name | None:
        """Return the name that people mean by this text: it, or the name of one of its samples."""
        return self._names.get(self._claimed.get(text, text))

    def conflicts(self, definition: Definition) -> list[tuple[Name, str]]:
        """Return the names that contradict a definition, each with what is wrong, for people.

        Those that somebody holds come first.
        """
        found: dict[str, str] = {}  # what is wrong, by the name
        name = self._names.get(definition.name)
        if name is not None and name.newest.definition.type != definition.type:
            new, old = TYPE_NAMES[definition.type], TYPE_NAMES[name.newest.definition.type]
            found[name.text] = f"type {new} contradicts {old}"
        for sample in sorted(sample_names(definition)):
            text = self._claimed.get(sample, definition.name)
            if text != definition.name:
                line, other = repr(sample)[1:-1], self._names[text].line
                found.setdefault(text, f"its sample {line} is one of {other}")
        names = sorted(map(self._names.__getitem__, found), key=lambda name: not name.is_held)
        return [(name, found[name.text]) for name in names]

    def n_of(self, owner: int) -> int:
        """Return the number of an owner's names, which are those whose oldest shape it has."""
        return self._n_of[owner]

    def most_of_a_uid(self) -> int:
        """Return the number of names of the user that has the most."""
        return max((n for owner, n in self._n_of.items() if owner != NOBODY), default=0)

    # ---- families that come and go ----------------------------------------------------------

    def add(self, family: Family, is_exceptions: bool) -> None:
        """Add a family to those of its name, as the newest shape.

        Args:
            family: the family.
            is_exceptions: whether it has the exceptions of calls.
        """
        names = self._exceptions if is_exceptions else self._names
        text = family.definition.name
        name = names.get(text)
        if name is not None:
            self._n_of[name.owner] -= 1
            name.shapes.insert(0, family)
        else:
            name = names[text] = Name(family)
            if not is_exceptions:
                self._claimed.update(dict.fromkeys(sample_names(family.definition), text))
        self._n_of[name.owner] += 1

    def drop(self, family: Family) -> bool:
        """Drop a family; return whether its name is free then."""
        names, text = self._group(family), family.definition.name
        name = names[text]
        self._n_of[name.owner] -= 1
        name.shapes.remove(family)
        if name.shapes:
            self._n_of[name.owner] += 1
            return False
        del names[text]
        if names is self._names:
            for sample in sample_names(family.definition):
                del self._claimed[sample]
        return True

    def _group(self, family: Family) -> dict[str, Name]:
        """Return the group of names with a family's own: those of exceptions, or the others."""
        name = self._names.get(family.definition.name)
        return self._names if name is not None and family in name.shapes else self._exceptions
