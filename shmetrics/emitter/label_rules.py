# SPDX-License-Identifier: Apache-2.0
"""The label rules that this process received from the collector, applied to label values.

The process applies them when label values become a child. Children that exist keep their values;
the collector applies the rules to those. So an endless number of values takes no space in the lane
and no memory here: only the results of the rules are kept.

The rules for gauges and observed counters are left to the collector: two of them in one place would
overwrite each other.
"""

from __future__ import annotations

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.label_rules.rule import FamilyRules, Rule, decode

_STATE = (layout.TYPE_GAUGE, layout.TYPE_OBSERVED)

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
        try:
            _rules = decode(text)
            _text = text
        finally:
            _ring.rules_changed()


class CurrentRules:
    """A function that applies the current rules to the label values of one family."""

    __slots__ = ("_definition", "_family_rules", "_rules")

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._rules: tuple[Rule, ...] = ()
        self._family_rules = FamilyRules((), definition)

    def __call__(self, values: tuple[str, ...]) -> tuple[str, ...]:
        rules = _rules
        if rules is not self._rules and self._definition.type not in _STATE:
            self._family_rules = FamilyRules(rules, self._definition)
            self._rules = rules
        return values if self._family_rules.is_idle else self._family_rules.values(values)
