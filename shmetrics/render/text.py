# SPDX-License-Identifier: Apache-2.0
"""The text format of Prometheus: version 0.0.4, which every reader understands, and 1.0.0.

They are the same but for names that are not classic, which a reader of 1.0.0 can ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shmetrics.render import formatter
from shmetrics.render.labels import written_name
from shmetrics.tables.table import Table

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CONTENT_TYPE_1_0_0 = "text/plain; version=1.0.0; charset=utf-8"

# There are fewer types than in OpenMetrics.
_TYPES = {"info": "gauge", "unknown": "untyped"}


def _head(table: Table) -> str:
    name = written_name(table.full_name)
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
