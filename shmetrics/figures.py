# SPDX-License-Identifier: Apache-2.0
"""Numbers in a form for people."""

from __future__ import annotations

NARROW_SPACE = "\u202f"
NONE = "—"


def number(value: float) -> str:
    """Return a number without decimals, with narrow spaces between groups of three digits."""
    return f"{value:,.0f}".replace(",", NARROW_SPACE)


def seconds(value: float | None) -> str:
    """Return a duration in seconds with three digits, in µs, ms or s; a dash for None."""
    if value is None:
        return NONE
    if value >= 1000:
        return f"{number(value)}{NARROW_SPACE}s"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{value * factor:.3g}{NARROW_SPACE}{unit}"
    return f"{value:.3g}{NARROW_SPACE}s"


def size(n_bytes: float | None) -> str:
    """Return a number of bytes with three digits, in KiB, MiB and so on; a dash for None."""
    if n_bytes is None:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if n_bytes < 1000 or unit == "TiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:.3g}{NARROW_SPACE}{unit}"
