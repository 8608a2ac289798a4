# SPDX-License-Identifier: Apache-2.0
"""The label rules that this process received from the collector, applied to label values.

The process applies them when label values become a child. Children that exist keep their values;
the collector applies the rules to those. So an endless number of values takes no space in the lane
and no memory here: only the results of the rules are kept.

The rules for gauges are left to the collector: two gauges in one place would overwrite each other.
"""

from __future__ import annotations

from shmetrics.binding import layout
from shmetrics.dictionary import Definition
from shmetrics.label_rules.rule import FamilyRules, Rule, decode

# Label sets per family whose results are remembered, if they are short: enough for a process that
# talks to a few thousand servers.
MAX_KNOWN = 4096
MAX_KNOWN_CHARS = 500

_text = ""
_rules: tuple[Rule, ...] = ()


def take(text: str) -> None:
    """Replace the rules of this process.

    Args:
        text: the rules, as label_rules/rule.py writes them.

    Raises:
        ValueError: the text is not rules. The process has none then.
    """
    global _text, _rules
    if text != _text:
        _text, _rules = "", ()
        _rules = decode(text)
        _text = text


class CurrentRules:
    """A function that applies the current rules to the label values of one family."""

    __slots__ = ("_definition", "_family_rules", "_known", "_rules")

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._rules: tuple[Rule, ...] = ()
        self._family_rules = FamilyRules((), definition)
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __call__(self, values: tuple[str, ...]) -> tuple[str, ...]:
        rules = _rules
        if rules is not self._rules and self._definition.type != layout.TYPE_GAUGE:
            self._family_rules = FamilyRules(rules, self._definition)
            self._rules = rules
            self._known.clear()
        if self._family_rules.is_idle:
            return values
        found = self._known.get(values)
        return self._rule(values) if found is None else found

    def _rule(self, values: tuple[str, ...]) -> tuple[str, ...]:
        found = self._family_rules.values(values)
        if sum(map(len, values)) <= MAX_KNOWN_CHARS:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[values] = found
        return found
