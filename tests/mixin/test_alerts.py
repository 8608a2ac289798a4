# SPDX-License-Identifier: Apache-2.0
"""Promise: each alert is quiet, fires, resolves, and has a page that says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MIXIN = ROOT / "mixin"
FIRING = re.compile(r'count\(ALERTS\{alertname="(\w+)",alertstate="firing"(?:,window="(\w+)")?\}\)')
TESTS = ("tests.yaml", "tests_of_days.yaml")

Rules = dict[tuple[str, str], dict[str, Any]]


def read(name: str) -> Any:
    return yaml.safe_load((MIXIN / name).read_text())


@pytest.fixture(scope="module")
def alerts() -> Rules:
    """Return the alerts by name and window; only burn rates have one."""
    rules = [rule for group in read("alerts.yaml")["groups"] for rule in group["rules"]]
    return {(rule["alert"], rule["labels"].get("window", "")): rule for rule in rules}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_they_do_what_their_tests_say() -> None:
    for command in (["check", "rules", "rules.yaml", "alerts.yaml"], ["test", "rules", *TESTS]):
        done = subprocess.run(
            ["promtool", *command], cwd=MIXIN, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_has_a_test_in_which_it_is_quiet_fires_and_resolves(alerts: Rules) -> None:
    seen: defaultdict[tuple[str, str], list[list[bool]]] = defaultdict(list)
    for name in TESTS:
        for case in read(name)["tests"]:
            looks = case["promql_expr_test"]
            (expression,) = {look["expr"] for look in looks}
            which = FIRING.fullmatch(expression)
            assert which is not None, case["name"]
            assert case["name"].partition(",")[0] == which[1]
            seen[which[1], which[2] or ""].append([bool(look["exp_samples"]) for look in looks])
    assert seen.keys() == alerts.keys()
    assert all(looks == [False, True, False] for cases in seen.values() for looks in cases)


def test_each_has_a_page_and_each_page_is_of_one(alerts: Rules) -> None:
    linked = {rule["annotations"]["runbook_url"] for rule in alerts.values()}
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/runbooks/*.md")}
    assert linked == pages
    for (name, _), rule in alerts.items():
        page = (ROOT / rule["annotations"]["runbook_url"]).read_text()
        assert page.startswith(f"# {name}\n")
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_recorded_names_say_level_metric_and_operations() -> None:
    records = [rule["record"] for group in read("rules.yaml")["groups"] for rule in group["rules"]]
    assert len(records) == len(set(records))
    for record in records:
        level, metric, operations = record.split(":")
        assert re.fullmatch(r"[a-z_]+", level)
        assert metric.startswith(("oslo_messaging_", "shmetrics_"))
        assert re.fullmatch(r"(ratio_)?rate\d+[mhd]|sum|max", operations)
