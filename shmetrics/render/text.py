# SPDX-License-Identifier: Apache-2.0
"""The Prometheus text format, version 0.0.4: what everybody reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shmetrics.render import formatter
from shmetrics.tables.table import Table

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# The format knows a family by the name of its samples, and fewer types than OpenMetrics.
_NAME_SUFFIXES = {"counter": "_total", "info": "_info"}
_TYPES = {"info": "gauge", "unknown": "untyped"}


def _head(table: Table) -> str:
    name = table.name + _NAME_SUFFIXES.get(table.kind, "")
    kind = _TYPES.get(table.kind, table.kind)
    return f"# HELP {name} {formatter.escape_help(table.help)}\n# TYPE {name} {kind}\n"


# No _created: all that this format has for them is gauges, which would double the series.
_DIALECT = formatter.Dialect(head=_head, created=False, exemplars=False, end=b"")


def pieces(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> Iterator[bytes]:
    """tables in the text format, piece by piece; see formatter.pieces."""
    return formatter.pieces(_DIALECT, tables, constant_labels)


def render(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> bytes:
    """All of it at once."""
    return b"".join(pieces(tables, constant_labels))
