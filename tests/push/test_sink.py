# SPDX-License-Identifier: Apache-2.0
"""The way of lines: into this process's lane if there is no gatherer; and what becomes of each."""

from __future__ import annotations

import pytest

from shmetrics.push.sink import Sink
from tests.emitter.conftest import name
from tests.nodes.loopback import Loopback, loopback

__all__ = ["loopback", "name"]


def test_without_a_gatherer_lines_are_recorded_here(loopback: Loopback, name: str) -> None:
    sink = Sink("job", is_named=False)
    for text in (
        f"{name}.a=1",
        f"type=metric {name}.b=2 gear=G",
        "level=info x=1",
        f"{name}.a=nan",
    ):
        sink.take(text.encode())
    sink.close(lost_bytes=12)
    assert sink.results == {"taken": 1, "forged": 1, "bad_value": 1}
    samples = loopback.samples()
    assert samples.value(f"{name}_a", unit="job", kind="program") == 1
    assert not samples.names(f"{name}_b")
    assert samples.value("metric_lines_unseen_bytes_total") == 12
    assert samples.value("metric_lines_total", result="forged") >= 1


def test_a_program_in_a_gear_may_name_its_gear(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSHIFT_GEAR_UUID", "5f")
    monkeypatch.setenv("OPENSHIFT_APP_NAME", "shop")
    sink = Sink("job", is_named=True)
    sink.take(f"type=metric appName=shop gear=5f {name}=1".encode())
    sink.take(f"type=metric appName=shop gear=60 {name}=2".encode())
    assert sink.results == {"taken": 1, "forged": 1}
    assert loopback.samples().value(name, unit="job", kind="program") == 1
