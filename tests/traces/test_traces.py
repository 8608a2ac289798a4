# SPDX-License-Identifier: Apache-2.0
"""The traces as a whole: when there is a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shmetrics.traces import store_clock
from shmetrics.traces.reader import Query
from shmetrics.traces.store import Limits, TraceStore
from shmetrics.traces.traces import Traces
from tests.servers.processes import until

from .conftest import whole


def test_there_is_no_file_before_there_is_a_span(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    traces = Traces(path)
    traces.lane_ended(1)
    assert (traces.find(Query()), path.exists()) == ([], False)
    traces.add(lambda: whole(1), 2, 1)
    assert traces.settle(60)
    assert path.exists()
    traces.close()


def test_what_is_too_old_goes_though_nothing_new_comes(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, boot_ns=lambda: 0)
    store.add(whole(1))
    store.close()
    traces = Traces(path, Limits(age_seconds=store_clock.boot_ns() / 2e9))
    until(lambda: traces.expired() == {"age": 1}, lambda: str(traces.expired()), 30)
    assert traces.find(Query()) == []
    traces.close()


def test_what_cannot_be_there_is_no_error_yet(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    traces = Traces(tmp_path / "file" / "traces.db")
    assert traces.lost()["no_store"] == 0
    traces.add(lambda: whole(1), 2, 1)
    assert not traces.settle(60)
    assert traces.lost()["no_store"] == 2
    traces.close()


def test_sqlite_is_not_loaded_before_there_is_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # coverage loads it
    program = "import shmetrics.collector.daemon, sys; print('sqlite3' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stdout == b"False\n"
