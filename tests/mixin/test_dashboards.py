# SPDX-License-Identifier: Apache-2.0
"""Promise: each query of each dashboard is of something that there is.

A Prometheus scrapes a collector with real services: those of the demo, and a unit. There is no
Grafana here: that it shows the dashboards is not tested.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.servers.collector import Collector
from tests.servers.processes import Forked, ServerProcess, until
from tests.servers.prometheus import Prometheus
from tests.units.cgroups import Cgroups

MIXIN = Path(__file__).parents[2] / "mixin"
RULES = [MIXIN / "rules.yaml", MIXIN / "alerts.yaml"]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", MIXIN / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documents() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in MIXIN.glob("dashboards/*.json")}


def queries() -> Iterator[tuple[str, str]]:
    """Yield the place and the expression of each query, as Grafana would send it."""
    for name, dashboard in documents().items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "1m")
                for variable in dashboard["templating"]["list"]:
                    expression = expression.replace(f"${variable['name']}", variable["allValue"])
                yield f"{name}: {panel['title']}", expression


def test_the_files_are_what_the_generator_writes() -> None:
    files = generator().files()
    assert {path.name for path in files} == documents().keys()
    for path, text in files.items():
        assert path.read_text() == text, f"run `python mixin/dashboards.py`: {path.name}"


def test_identities_are_stable_and_of_their_own() -> None:
    for name, dashboard in documents().items():
        assert dashboard["uid"] == name.removesuffix(".json")
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        assert [each["name"] for each in dashboard["__inputs"]] == ["DS_PROMETHEUS"]
        assert "$" not in "".join(query for where, query in queries() if where.startswith(name))


def test_the_mixin_imports_all_files() -> None:
    text = (MIXIN / "mixin.libsonnet").read_text()
    imported = re.findall(r"import(?:str)? '([^']+)'", text)
    there = [f"dashboards/{name}" for name in documents()]
    assert sorted(imported) == sorted([*there, "alerts.yaml", "rules.yaml"])


@contextmanager
def running(process: ServerProcess) -> Iterator[None]:
    try:
        yield
    finally:
        assert process.stop() == 0


@pytest.fixture
def collector(runtime_dir: Path, tmp_path: Path) -> Iterator[Collector]:
    """Yield a collector that forwards metrics and spans to destinations that nobody listens at."""
    config = tmp_path / "collector.toml"
    config.write_text(
        "[[metrics.forward]]\nto = 'graphite://127.0.0.1:1'\n"
        "[[traces.forward]]\nto = 'otlp+http://127.0.0.1:1'\n"
    )
    options = ["--config", str(config)]
    collector = Collector(runtime_dir, tmp_path / "collector.log", options)
    yield collector
    until(lambda: not collector.lanes(), lambda: f"left over: {collector.lanes()}", 10)
    assert collector.stop() == 0


@pytest.mark.slow
def test_each_query_returns_data(
    prometheus: Callable[..., Prometheus], collector: Collector, cgroups: Cgroups, tmp_path: Path
) -> None:
    cgroups.make("/a.service")
    cgroups.worker("/a.service").tell("burn 0.1")
    env = {**os.environ, "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir)}
    config = tmp_path / "gather.toml"
    config.write_text("[gather]\ninterval_seconds = 10\n")
    gatherer = Forked(
        ["shmetrics", "gather", "--config", str(config)], tmp_path / "gather.log", env
    )
    services = ServerProcess(
        [sys.executable, "-m", "shmetrics.cli.demo_service", "both", "kombu+memory://"],
        tmp_path / "services.log",
        env,
    )
    with running(gatherer), running(services):
        scraper = prometheus(
            f"{collector.url}/metrics", scrape={"job_name": "shmetrics"}, rules=RULES
        )
        for where, query in queries():
            found = scraper.wait_for(query)
            assert found, where
        for group in scraper.get("rules")["groups"]:
            for rule in group["rules"]:
                assert rule["health"] == "ok", rule
        by_side = scraper.wait_for('side_topic_method:shmetrics_rpc_overdue:sum{side="server"} > 0')
        assert by_side[0][0]["method"] == "migrate"
