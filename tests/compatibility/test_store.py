# SPDX-License-Identifier: Apache-2.0
"""A store of this version or the one before is read: its totals are right, and go on."""

from __future__ import annotations

from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring
from shmetrics.store.store import VERSION
from tests.compatibility import store
from tests.compatibility.store import Kept
from tests.nodes.loopback import MIB, Loopback

FILES = store.kept()


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """Return a store of some version, and put it into the runtime directory of tmp_path."""
    found = store.read(request.param)
    file = tmp_path / "store"
    file.write_bytes(found.content)
    file.chmod(0o600)
    return found


def was_read(path: Path) -> bool:
    """Return whether a store is the one that was found: nothing was set aside for it."""
    return sorted(one.name for one in path.glob("store*")) == ["store"]


def test_this_version_is_kept() -> None:
    assert VERSION in {store.read(file).version for file in FILES}, (
        "run `python -m tests.compatibility.store`, and see docs/compatibility.md"
    )


def test_a_changed_undo_entry_has_a_store_of_another_version() -> None:
    """Check the version: after a kill, a collector of the next version may read the entry."""
    [file] = [file for file in FILES if store.read(file).version == VERSION]
    assert store.undo() == store.read(file).undo


def test_a_kept_store_shows_what_it_showed(tmp_path: Path, kept: Kept) -> None:
    for size in (MIB, MIB, 4 * MIB):  # again, and in a file of another size
        node = Loopback(tmp_path, store.SETTINGS._replace(store_bytes=size))
        assert store.shown(node.collector) == kept.shown
        assert was_read(tmp_path)
        node.release()


def test_a_kept_store_goes_on(tmp_path: Path, kept: Kept) -> None:
    node = Loopback(tmp_path, store.SETTINGS)
    before = node.samples()
    _ring.process_detach()
    node.attach()
    shmetrics.Counter("jobs", "Jobs done", ["queue"]).labels("q1").inc(2)
    shmetrics.Counter("jobs", "Jobs done", ["queue"]).labels("new").inc(4)
    size = shmetrics.Histogram("size", "Sizes", ["kind"], unit="bytes", buckets=(1, 2, 4))
    size.labels("small").observe(3)
    for _ in range(2):
        node.collector.tick()
        now = node.samples()
        assert now.value("jobs_total", queue="q1") - before.value("jobs_total", queue="q1") == 2
        assert now.value("jobs_total", queue="new") == 4  # in the place of one that nobody has
        of = {"kind": "small"}
        assert now.value("size_bytes_sum", **of) - before.value("size_bytes_sum", **of) == 3
        assert was_read(tmp_path)
        node.restart()
    _ring.process_detach()
    node.collector.tick()
    node.release()


def test_what_was_let_go_stays_gone(tmp_path: Path, kept: Kept) -> None:
    node = Loopback(tmp_path, store.SETTINGS)
    assert set(node.samples().of("brief_total")) == {(("n", "1"),), (("n", "3"),)}
    assert not node.samples().names("gone")
    assert node.collector.store.log.expired == 6  # two, and four with their family
    node.release()


def test_a_store_is_made_as_it_is_kept(tmp_path: Path) -> None:
    """Check that the kept store of this version has the totals that the code counts today."""
    made = store.make()
    [file] = [file for file in FILES if store.read(file).version == VERSION]
    of_clocks = ("_created", "_processing_seconds_")
    now, then = (
        [line for line in kept.shown.lines if not any(part in line for part in of_clocks)]
        for kept in (made, store.read(file))
    )
    assert now == then
    assert made.shown.native["size_bytes"] == store.read(file).shown.native["size_bytes"]
    made.write(tmp_path / "again.json")
    assert store.read(tmp_path / "again.json") == made
