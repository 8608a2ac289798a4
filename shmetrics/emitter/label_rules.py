# SPDX-License-Identifier: Apache-2.0
"""The label rules that the collector told this process, and what they make of label values.

They are applied where label values become a child: what has one already keeps it, and the
collector applies the rules to that. Values without end then cost neither room in the lane nor
memory here: only what the rules make of them is kept.

Gauges are left to the collector: two of them in one place would overwrite each other.
"""

from __future__ import annotations

from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.label_rules.rule import Rule, Ruling, decode

# Of each family, what the rules have made of so many label sets is remembered, if these are short:
# a process that talks to a few thousand servers looks them up.
MAX_KNOWN = 4096
MAX_KNOWN_CHARS = 500

_text = ""
_rules: tuple[Rule, ...] = ()


def take(text: str) -> None:
    """From now on these are the rules. Raises ValueError, and leaves none, if they are not any."""
    global _text, _rules
    if text != _text:
        _text, _rules = "", ()
        _rules = decode(text)
        _text = text


class Ruled:
    """The label values of one family, as the rules of the moment have them."""

    __slots__ = ("_definition", "_known", "_rules", "_ruling")

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._rules: tuple[Rule, ...] = ()
        self._ruling = Ruling((), definition)
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __call__(self, values: tuple[str, ...]) -> tuple[str, ...]:
        rules = _rules
        if rules is not self._rules and self._definition.type != _ring.TYPE_GAUGE:
            self._ruling = Ruling(rules, self._definition)
            self._rules = rules
            self._known.clear()
        if self._ruling.is_idle:
            return values
        found = self._known.get(values)
        return self._rule(values) if found is None else found

    def _rule(self, values: tuple[str, ...]) -> tuple[str, ...]:
        found = self._ruling.values(values)
        if sum(map(len, values)) <= MAX_KNOWN_CHARS:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[values] = found
        return found
