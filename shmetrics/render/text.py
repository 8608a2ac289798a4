# SPDX-License-Identifier: Apache-2.0
"""The text format of Prometheus, version 0.0.4, which every reader understands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shmetrics.render import formatter
from shmetrics.tables.table import Table

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# In this format the name of a family is that of its samples, and there are fewer types than in
# OpenMetrics.
_NAME_SUFFIXES = {"counter": "_total", "info": "_info"}
_TYPES = {"info": "gauge", "unknown": "untyped"}


def _head(table: Table) -> str:
    name = table.name + _NAME_SUFFIXES.get(table.kind, "")
    kind = _TYPES.get(table.kind, table.kind)
    return f"# HELP {name} {formatter.escape_help(table.help)}\n# TYPE {name} {kind}\n"


# No _created: in this format they would be gauges, and would double the number of series.
_DIALECT = formatter.Dialect(head=_head, created=False, exemplars=False, end=b"")


def pieces(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> Iterator[bytes]:
    """Return tables in the text format, in pieces; see formatter.pieces."""
    return formatter.pieces(_DIALECT, tables, constant_labels)


def render(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> bytes:
    """Return tables in the text format, in one piece."""
    return b"".join(pieces(tables, constant_labels))
