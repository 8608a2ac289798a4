# SPDX-License-Identifier: Apache-2.0
"""The tables of rooms and of tools in docs/architecture.md, as rules for imports.

A row names its modules first and what they may import last: rooms of other rows, or single modules
of them. Every room may import every tool; a tool imports tools alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "architecture.md"
PACKAGE: Final = "shmetrics"

_NAME: Final = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """Modules that are one room, and the modules and packages that they may import."""

    modules: tuple[str, ...]
    imports: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.modules[0]


class House(NamedTuple):
    """All rules: rows of rooms, and the tools that all of them may import."""

    rows: tuple[Row, ...]
    tools: tuple[str, ...]

    def row_of(self, module: str) -> Row | None:
        """Return the row of a module, None if there is none. The longest name that fits decides."""
        found = [
            (len(prefix), row)
            for row in (*self.rows, Row(self.tools, ()))
            for prefix in row.modules
            if _is_in(module, prefix)
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def allowance(self, row: Row, module: str) -> str | None:
        """Return which entry of a row lets it import a module: "" for the row itself and for a
        tool, None if nothing does."""
        other = self.row_of(module)
        if other is not None and (other.name == row.name or other.modules == self.tools):
            return ""
        for entry in row.imports:
            room = next((room for room in self.rows if entry in room.modules), None)
            if _is_in(module, entry) if room is None else room == other:
                return entry
        return None


def read(page: Path = PAGE) -> House:
    """Read the two tables of a page. Raises ValueError where one is missing."""
    text = page.read_text(encoding="utf-8")
    rooms = [Row(_modules(cells[0]), _modules(cells[-1])) for cells in table(text, "Rooms")]
    tools = [module for cells in table(text, "Tools") for module in _modules(cells[0])]
    return House(tuple(rooms), tuple(tools))


def table(text: str, heading: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables under a heading, but for the rows that name
    nothing. Raises ValueError if there is none."""
    section = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)
    if len(section) < 2:
        raise ValueError(f"there is no heading {heading!r}")
    lines = re.split(r"^#+ ", section[1], maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    rows = [line.strip().strip("|").split("|") for line in lines if line.startswith("|")]
    if not rows:
        raise ValueError(f"there is no table under {heading!r}")
    for cells in rows:
        if _NAME.search(cells[0]):
            yield [cell.strip() for cell in cells]


def _modules(cell: str) -> tuple[str, ...]:
    return tuple(_module(name) for name in _NAME.findall(cell))


def _module(name: str) -> str:
    """Return the module of a name: of `lanes/` shmetrics.lanes, of `traces/event.py`
    shmetrics.traces.event, of `__init__.py` the package itself."""
    dotted = re.sub(r"\.pyx?$", "", name.rstrip("/")).replace("/", ".")
    return PACKAGE if dotted == "__init__" else f"{PACKAGE}.{dotted}"


def _is_in(module: str, prefix: str) -> bool:
    """Return whether a module is this one or inside it. Nothing counts as inside the package."""
    return module == prefix or (prefix != PACKAGE and module.startswith(f"{prefix}."))
