# SPDX-License-Identifier: Apache-2.0
"""The names of tests in documents. Each row of docs/failures.md names one that exists, and a
counter that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from shmetrics import layout
from shmetrics.store.self_metrics import SelfMetrics

from .snippets import ROOT

NAMED = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<name>\w+)`")

ROWS = [
    line
    for line in (ROOT / "docs" / "failures.md").read_text().splitlines()[2:]
    if line.startswith("| ") and not line.startswith("| fault |")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_row_names_a_test(row: str) -> None:
    assert NAMED.search(row) is not None


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_every_named_test_is_there(path: Path) -> None:
    for named in NAMED.finditer(path.read_text()):
        tree = ast.parse((ROOT / named["file"]).read_text())
        assert named["name"] in {node.name for node in ast.walk(tree) if hasattr(node, "name")}


def test_the_named_counts_are_there() -> None:
    self_metrics = SelfMetrics("")
    families = {
        metric.name.removeprefix("shmetrics_") for metric in self_metrics.registry.collect()
    }
    families |= {counter.name for counter in self_metrics.counters}
    families |= {"rpc_abandoned", "profiler_notifications", "one log line"}
    families |= {"osprofiler_source_refused", "osprofiler_source_failures"}
    others = ROOT / "shmetrics/push/sink.py", ROOT / "shmetrics/collector/forwarding.py"
    for path in [*(ROOT / "shmetrics/gatherer").glob("*.py"), *others]:
        families |= set(re.findall(r'"(?:shmetrics_)?(\w+)"', path.read_text()))
    for row in ROWS:
        counted = row.split("|")[4].partition(", for")[0].partition(", by")[0]
        for name in filter(None, (part.strip() for part in counted.split(", "))):
            family, _, cause = name.partition(": ")
            assert family in families or family in layout.DROP_NAMES, row
            assert family != "dropped" or cause in layout.DROP_NAMES, row
