# SPDX-License-Identifier: Apache-2.0
"""A trace store of this version or the one before is read, and goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shmetrics.traces.reader import Query, Reader, Trace
from shmetrics.traces.recovering_store import RecoveringStore
from shmetrics.traces.schema import VERSION
from tests.compatibility import traces
from tests.compatibility.traces import event, id_of

FILES = traces.kept()

FIRST = Trace(id_of(1), 1_000, 2_000, 2, 0, 1, 0, "wsgi", "nova")
SECOND = Trace(id_of(2), 5_000, 5_202, 4, 0, 0, 1, "wsgi", "nova")


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a trace store of some version."""
    found = tmp_path / "traces.db"
    traces.load(request.param, found)
    return found


@pytest.fixture
def trace_store(path: Path) -> Iterator[RecoveringStore]:
    """Open a kept store as a collector does, and check that none of it was lost or set aside."""
    found = RecoveringStore(path, traces.LIMITS)
    yield found
    assert (found.anew, found.failures, dict(found.lost)) == (0, 0, {})
    found.close()
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a database, by table."""
    with closing(sqlite3.connect(path)) as db:
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def test_this_version_is_kept() -> None:
    assert f"traces-{VERSION}" in {file.stem for file in FILES}, (
        "run `python -m tests.compatibility.traces`, and see docs/compatibility.md"
    )


def test_a_kept_store_says_what_it_said(path: Path, trace_store: RecoveringStore) -> None:
    trace_store.expire()
    with closing(Reader(path)) as reader:
        assert reader.find() == [SECOND, FIRST]
        assert reader.find(Query(service="cinder")) == [FIRST]
        assert reader.find(Query(failed=True)) == [FIRST]
        first, second = reader.spans(id_of(1))
        assert first.start_info == {"request": {"path": "/servers", "method": "POST"}}
        assert (second.parent, second.name, second.service) == (first.id, "db", "cinder")
        assert second.start_info == {"db": {"statement": "SELECT 'é'"}}
        assert (second.exception, second.duration_ns) == ("DBError", 800)
        assert second.stop_info == {"etype": "DBError", "message": "gone"}
        dead, *others = reader.spans(id_of(2))
        assert (dead.has_died, dead.is_cut, dead.lane) == (True, True, traces.DEAD_LANE)
        assert {(span.has_died, span.is_cut, span.lane) for span in others} == {(False, False, 1)}


def test_a_kept_store_goes_on(path: Path, trace_store: RecoveringStore) -> None:
    trace_store.add([event(True, 1, 13, 3_000), event(True, 3, 31, 9_000)])
    trace_store.add([event(False, 1, 13, 4_000)])
    with closing(Reader(path)) as reader:
        third = Trace(id_of(3), 9_000, 9_000, 1, 1, 0, 0, "wsgi", "nova")
        assert reader.find() == [third, SECOND, FIRST._replace(stop_ns=4_000, spans=3)]


def test_a_store_is_made_as_it_is_kept(tmp_path: Path) -> None:
    """Check that the kept store of this version is as the code writes it today."""
    [file] = [file for file in FILES if file.stem == f"traces-{VERSION}"]
    again = tmp_path / "again.sql"
    again.write_text(traces.make())
    traces.load(again, tmp_path / "again.db")
    traces.load(file, tmp_path / "kept.db")
    assert content(tmp_path / "again.db") == content(tmp_path / "kept.db")
