# SPDX-License-Identifier: Apache-2.0
"""OpenMetrics 1.0: the text format with units, exemplars and, if wanted, start times of series.

A start time is a sample of its own, with the suffix _created. A Prometheus with default settings
keeps it as a series, and so has twice as many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from shmetrics.render import formatter
from shmetrics.render.labels import written_name
from shmetrics.tables.table import Table

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def _head(table: Table) -> str:
    name = written_name(table.name)
    help = formatter.escape_help(table.help).replace('"', r"\"")
    unit = f"# UNIT {name} {table.unit}\n" if table.unit else ""
    return f"# HELP {name} {help}\n# TYPE {name} {table.kind}\n{unit}"


_DIALECT = formatter.Dialect(head=_head, created=False, exemplars=True, end=b"# EOF\n")
_WITH_CREATED = replace(_DIALECT, created=True)


def pieces(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> Iterator[bytes]:
    """Return tables in OpenMetrics, in pieces; see formatter.pieces."""
    return formatter.pieces(_DIALECT, tables, constant_labels)


def pieces_with_created(
    tables: Iterable[Table], constant_labels: Mapping[str, str]
) -> Iterator[bytes]:
    """Return tables in OpenMetrics with _created samples, in pieces; see formatter.pieces."""
    return formatter.pieces(_WITH_CREATED, tables, constant_labels)


def render(
    tables: Iterable[Table], constant_labels: Mapping[str, str], created: bool = False
) -> bytes:
    """Return tables in OpenMetrics, in one piece, with _created samples or without."""
    made = pieces_with_created if created else pieces
    return b"".join(made(tables, constant_labels))
