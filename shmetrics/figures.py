# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them."""

from __future__ import annotations

NARROW_SPACE = "\u202f"
NONE = "—"


def number(value: float) -> str:
    """1234567 in groups of three."""
    return f"{value:,.0f}".replace(",", NARROW_SPACE)


def seconds(value: float | None) -> str:
    """A duration to three digits, in the unit that fits it."""
    if value is None:
        return NONE
    if value >= 1000:
        return f"{number(value)}{NARROW_SPACE}s"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{value * factor:.3g}{NARROW_SPACE}{unit}"
    return f"{value:.3g}{NARROW_SPACE}s"
