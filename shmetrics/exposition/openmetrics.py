# SPDX-License-Identifier: Apache-2.0
"""OpenMetrics 1.0: units, the time at which a series began, and exemplars; in the same lines
otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shmetrics.exposition import formatter
from shmetrics.exposition.table import Table

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def _head(table: Table) -> str:
    name = table.name
    help = formatter.escape_help(table.help).replace('"', r"\"")
    unit = f"# UNIT {name} {table.unit}\n" if table.unit else ""
    return f"# HELP {name} {help}\n# TYPE {name} {table.kind}\n{unit}"


_DIALECT = formatter.Dialect(head=_head, created=True, exemplars=True, end=b"# EOF\n")


def render(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> bytes:
    """tables in OpenMetrics; see formatter.render."""
    return formatter.render(_DIALECT, tables, constant_labels)
