# SPDX-License-Identifier: Apache-2.0
"""OpenMetrics 1.0: the text format with units, the start times of series, and exemplars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shmetrics.render import formatter
from shmetrics.tables.table import Table

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def _head(table: Table) -> str:
    name = table.name
    help = formatter.escape_help(table.help).replace('"', r"\"")
    unit = f"# UNIT {name} {table.unit}\n" if table.unit else ""
    return f"# HELP {name} {help}\n# TYPE {name} {table.kind}\n{unit}"


_DIALECT = formatter.Dialect(head=_head, created=True, exemplars=True, end=b"# EOF\n")


def pieces(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> Iterator[bytes]:
    """Return tables in OpenMetrics, in pieces; see formatter.pieces."""
    return formatter.pieces(_DIALECT, tables, constant_labels)


def render(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> bytes:
    """Return tables in OpenMetrics, in one piece."""
    return b"".join(pieces(tables, constant_labels))
