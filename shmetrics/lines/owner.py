# SPDX-License-Identifier: Apache-2.0
"""The unit that a line belongs to. The process that printed it decides, never the line's text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shmetrics.lines.line import IDENTITY, Line, Refused

_NOTHING: Mapping[str, str] = {}


class Owner(NamedTuple):
    """The owner of a line.

    Attributes:
        unit: the name of the unit.
        kind: the kind of the unit.
        known: what is known of the unit, by the keys that a line may repeat, such as `gear`; in the
            order in which deliveries say it.
    """

    unit: str
    kind: str
    known: Mapping[str, str] = _NOTHING


def check(line: Line, owner: Owner) -> None:
    """Check that a line claims nothing that is not known of its owner.

    Raises:
        Refused: it is forged: it names another unit, gear, cartridge or the like.
    """
    known = {"unit": owner.unit, "kind": owner.kind, **owner.known}
    for key, value in line.metadata.items():
        if (key in known or key in IDENTITY) and known.get(key) != value:
            raise Refused("forged", f"{key}={value[:60]} in a line of {owner.kind} {owner.unit}")
