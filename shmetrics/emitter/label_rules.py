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

    __slots__ = ("_definition", "_rules", "_ruling")

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._rules: tuple[Rule, ...] = ()
        self._ruling: Ruling | None = None

    def __call__(self, values: tuple[str, ...]) -> tuple[str, ...]:
        rules = _rules
        if rules is not self._rules and self._definition.type != _ring.TYPE_GAUGE:
            self._ruling = Ruling(rules, self._definition)
            self._rules = rules
        return values if self._ruling is None else self._ruling.values(values)
