# SPDX-License-Identifier: Apache-2.0
"""Label rules: each has a pattern of families, a label, and a change of the label's values.

The first rule for a label of a family decides. The collector applies all rules, once to each series
of a lane. A process receives the rules that need no pattern with its lane, and applies them too, so
that an endless number of label values does not fill the lane. Applying a rule twice has the same
result as applying it once.

    rules    one per line: "keep LABEL FAMILY", "drop LABEL FAMILY", "hash LABEL FAMILY NAMES"
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Iterable
from typing import NamedTuple

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.sample_names import family_names

MAX_RULES = 100
MAX_NAMES = 65_536  # the most names that a rule hashes values into
MAX_NAME_CHARS = 255  # for a family's name in a rule, and for a label's

OVERFLOW = layout.OVERFLOW_VALUE

Change = Callable[[str], str]


def keep(value: str) -> str:
    """Return the value unchanged."""
    return value


def drop(value: str) -> str:
    """Return the empty value, which Prometheus treats like a missing label."""
    return ""


class Hash:
    """A change that maps values to a number of names, such as "#0" to "#63" for 64.

    The number in the name is the CRC-32 of the value's UTF-8, modulo `names`. The empty value and
    values that are one of these names already stay unchanged.
    """

    def __init__(self, names: int) -> None:
        self.names = names

    def __call__(self, value: str) -> str:
        if not value or self._is_name(value):
            return value
        return f"#{crc32(value.encode('utf-8', 'replace')) % self.names}"

    def _is_name(self, value: str) -> bool:
        digits = value[1:6]
        return (
            value[0] == "#"
            and digits.isascii()
            and digits.isdecimal()
            and int(digits) < self.names
            and value == f"#{int(digits)}"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hash) and other.names == self.names

    def __hash__(self) -> int:
        return self.names


class Rule(NamedTuple):
    """A label rule.

    Attributes:
        family: the name of families, in which * stands for any text.
        label: the name of the label.
        change: returns the new value for a value.
    """

    family: str
    label: str
    change: Change


class FamilyRules:
    """The rules for the labels of one family. Applying them never raises."""

    def __init__(self, rules: Iterable[Rule], definition: Definition) -> None:
        self._by_label: dict[str, Change] = {}
        names = family_names(definition)
        for rule in rules:
            if [name for name in names if matches(rule.family, name)]:
                self._by_label.setdefault(rule.label, rule.change)
        self._changes = [
            (at, self._by_label[label])
            for at, label in enumerate(definition.label_names)
            if self._by_label.get(label, keep) is not keep
        ]
        self.is_idle = not self._changes

    def values(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the new values for label values.

        Args:
            values: in the order of the family's labels; some may be missing at the end.
        """
        if self.is_idle:
            return values
        changed = list(values)
        for at, change in self._changes:
            if at < len(changed) and changed[at] != OVERFLOW:
                changed[at] = change(changed[at])
        return tuple(changed)

    def value(self, label: str, value: str) -> str:
        """Return the new value for one value of a label."""
        return value if value == OVERFLOW else self._by_label.get(label, keep)(value)


def matches(pattern: str, name: str) -> bool:
    """Return whether a name matches a pattern, in which * is any text."""
    first, *others = pattern.split("*")
    if not others:
        return name == first
    if not name.startswith(first):
        return False
    at = len(first)
    *middle, last = others
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - at >= len(last) and name.endswith(last)


def is_name(text: str) -> bool:
    """Return whether a text can be the label of a rule, or its pattern of families."""
    return 0 < len(text) <= MAX_NAME_CHARS and text.isprintable() and " " not in text


def encode(rules: Iterable[Rule], max_bytes: int) -> str:
    """Return the rules for a process, as text.

    A rule that needs a pattern is the collector's, and becomes `keep`. Rules beyond the size limit
    are left out: the collector applies them.

    Args:
        rules: the rules, the first one first.
        max_bytes: the most bytes of the text.
    """
    text = ""
    for rule in rules:
        change = rule.change
        if isinstance(change, Hash):
            line = f"hash {rule.label} {rule.family} {change.names}\n"
        else:
            line = f"{'drop' if change is drop else 'keep'} {rule.label} {rule.family}\n"
        if len((text + line).encode()) > max_bytes:
            break
        text += line
    return text


def decode(text: str) -> tuple[Rule, ...]:
    """Return the rules in a text of a collector. Raises ValueError if it is not rules."""
    lines = text.split("\n")
    if lines.pop() or len(lines) > MAX_RULES:
        raise ValueError(f"{len(lines)} rules, or half a one")
    return tuple(map(_decode, lines))


def _decode(line: str) -> Rule:
    word, *fields = line.split(" ")
    change: Change | None = None
    if len(fields) == 2:
        change = {"keep": keep, "drop": drop}.get(word)
    elif len(fields) == 3 and word == "hash":
        change = _hash(fields[2])
    if change is None or not is_name(fields[0]) or not is_name(fields[1]):
        raise ValueError(f"{line[:80]!r} is not a rule")
    return Rule(fields[1], fields[0], change)


def _hash(names: str) -> Hash | None:
    if not (names.isascii() and names.isdecimal() and len(names) <= len(str(MAX_NAMES))):
        return None
    return Hash(int(names)) if 0 < int(names) <= MAX_NAMES else None
