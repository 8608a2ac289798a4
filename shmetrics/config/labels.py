# SPDX-License-Identifier: Apache-2.0
"""The options of a label rule."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from shmetrics.config.section import Section
from shmetrics.label_rules import rule
from shmetrics.label_rules.rewrite import Pattern, Rewrite
from shmetrics.label_rules.rule import Change, Hash, Rule

MAX_PATTERNS = 100


class RewriteRule(Section, frozen=True, kw_only=True):
    """One pattern, and the text that replaces a value that it matches."""

    match: Annotated[str, Meta(description="RE2 pattern of a whole value.")]
    replace: Annotated[
        str,
        Meta(description="What such a value becomes; ${1} is a group, $$ is a dollar."),
    ]

    def __post_init__(self) -> None:
        self.pattern()

    def pattern(self) -> Pattern:
        """Return the compiled pattern. Raises ValueError if it is not valid."""
        return Pattern(self.match, self.replace)


class LabelRule(Section, frozen=True, kw_only=True):
    """A rule that changes the values of a label: keep = true, drop = true, hash = N into N names,
    or rewrite = [{ match, replace }, ...]. The first rule for a label of a family decides. By
    default there is none."""

    family: Annotated[
        str, Meta(description="Name of the families that the rule is for; * is any text.")
    ] = "*"
    label: Annotated[str, Meta(description="The label whose values it changes.")]
    keep: Annotated[bool, Meta(description="Its values stay as they are.")] = False
    drop: Annotated[bool, Meta(description="Its values become empty.")] = False
    hash: Annotated[
        int,
        Meta(
            ge=0,
            le=rule.MAX_NAMES,
            description="Each value becomes one of this many names: #0, #1 and so on.",
        ),
    ] = 0
    rewrite: Annotated[
        list[RewriteRule],
        Meta(
            max_length=MAX_PATTERNS,
            description="The first pattern that matches a whole value says what it becomes.",
        ),
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        for option, name in (("family", self.family), ("label", self.label)):
            if not rule.is_name(name):
                raise ValueError(
                    f"{option}: {name!r} is no name here; printable characters but spaces make one"
                )
        said = [name for name in ("keep", "drop", "hash", "rewrite") if getattr(self, name)]
        if len(said) != 1:
            raise ValueError(
                f"label: {self.label!r} has {' and '.join(said) or 'nothing'}; "
                "say one of keep, drop, hash and rewrite"
            )

    def rule(self) -> Rule:
        """Return the label rule of these options."""
        return Rule(self.family, self.label, self._change())

    def _change(self) -> Change:
        if self.hash:
            return Hash(self.hash)
        if self.rewrite:
            return Rewrite(found.pattern() for found in self.rewrite)
        return rule.drop if self.drop else rule.keep


EXAMPLE = LabelRule(family="oslo_messaging_rpc_*", label="server", hash=64)
