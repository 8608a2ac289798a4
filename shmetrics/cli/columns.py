# SPDX-License-Identifier: Apache-2.0
"""Plain text in columns, for terminals and for pipes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shmetrics.figures import NARROW_SPACE

_MOST_WIDTH = 64  # of a column; a longer cell pushes the rest of its own line to the right


def printable(text: object) -> str:
    """Return a text of strangers with `?` for characters that a terminal may act on."""
    return "".join(c if c.isprintable() or c == NARROW_SPACE else "?" for c in str(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as lines in columns, with the names of the columns first.

    Args:
        columns: the names; a column whose name begins with > is aligned to the right.
        rows: the cells, in the order of the columns.
    """
    names = [name.lstrip(">") for name in columns]
    cells = [names, *([printable(cell) for cell in row] for row in rows)]
    widths = [
        max((len(cell) for cell in column if len(cell) <= _MOST_WIDTH), default=0)
        for column in zip(*cells, strict=True)
    ]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if name[0] == ">" else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
