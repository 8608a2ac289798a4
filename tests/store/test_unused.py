# SPDX-License-Identifier: Apache-2.0
"""Families of nobody give their place to others, and nobody can keep out another user's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics import layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store.limits import Limits
from shmetrics.store.unused import SCRAPE_SECONDS
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, Loopback

LIMITS = Limits(families=12, families_per_uid=8, families_per_lane=8, series_per_family=20)
IDLE_SECONDS = 100.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Loopback]:
    """Yield a collector with room for few families."""
    found = Loopback(tmp_path / "node", Settings(4 * MIB, LIMITS))
    yield found
    found.collector.tick()
    found.release()


@contextlib.contextmanager
def process(node: Loopback, uid: int) -> Iterator[LaneFile]:
    """Yield a process of this user, which ends with the block."""
    hello = Hello(layout.LAYOUT_VERSION, 64, "process", dictionary_bytes=1 << 18, cells=1 << 16)
    granted = node.collector.grant(Peer(1, uid, uid), hello)
    assert isinstance(granted, Granted)
    with contextlib.closing(LaneFile(granted.lane_fd)) as lane:
        yield lane
        node.collector.tick()
    node.collector.tick()


def counter(name: str, *labels: str) -> Definition:
    return Definition(layout.TYPE_COUNTER, name, "", "", "", labels, ())


def define(lane: LaneFile, prefix: str, n: int, kind: Definition | None = None) -> None:
    """Define families without series."""
    for number in range(n):
        lane.family((kind or counter("", "k"))._replace(name=f"{prefix}_{number}"))


def count(lane: LaneFile, name: str, value: float = 1.0) -> None:
    """Define a family without labels, and record an event of it."""
    series = lane.series(layout.TYPE_COUNTER, lane.family(counter(name)))
    lane.record(hostile.ADD, series, value)


def families(node: Loopback) -> set[str]:
    return {family.definition.name for family in node.collector.families.of_emitters()} - {
        "shmetrics_rpc_abandoned"
    }


def pass_time(node: Loopback, seconds: float) -> None:
    now_ns = node.collector._monotonic_ns() + int(seconds * 1e9)
    node.collector._monotonic_ns = lambda: now_ns
    node.collector.tick()


# ---- users --------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True], ids=["as long as it runs", "after a restart"])
def test_no_user_keeps_out_another_ones_family(node: Loopback, again: bool) -> None:
    """Check any number of processes of it with any number of families, with totals or without."""
    with process(node, 43) as first, process(node, 43) as second:
        for number in range(6):
            count(first, f"first_{number}")
        define(second, "second", 6)
        node.collector.tick()
        if again:
            node.restart()
        with process(node, 44) as other:
            count(other, "other", 7)
        found = node.samples()
        assert found.value("other_total") == 7
        assert found.value("shmetrics_refused_families_total", reason="families_per_uid") == 4
        assert found.value("shmetrics_quota_used", quota="families_per_uid") == 8
        assert found.value("shmetrics_quota_limit", quota="families_per_uid") == 8
        assert found.value("shmetrics_quota_exceeded_total", quota="families_per_uid") == 4
        assert found.sum("shmetrics_quarantined_total") == 0


def test_each_user_has_label_sets_of_its_own_in_a_family_that_many_have(node: Loopback) -> None:
    """Check that a user at its limit counts the rest together, while others' series are told
    apart."""
    jobs = counter("jobs", "queue")
    with process(node, 43) as hostile_one, process(node, 44) as other:
        family = hostile_one.family(jobs)
        for number in range(30):
            hostile_one.record(
                hostile.ADD, hostile_one.series(jobs.type, family, f"hostile {number}")
            )
        node.collector.tick()
        other.record(hostile.ADD, other.series(jobs.type, other.family(jobs), "fast"), 5)
        found = node.samples()
        assert found.value("jobs_total", queue="fast") == 5
        assert found.value("jobs_total", queue="__overflow__") == 10
        assert found.sum("jobs_total") == 35


@pytest.mark.parametrize(("length", "n"), [(1, 1500), (900, 90)])
def test_no_user_fills_the_store_for_others(tmp_path: Path, length: int, n: int) -> None:
    """Check the cells, with many label sets, and the log, with long ones."""
    settings = Settings(MIB, store_bytes_per_uid=MIB // 2)
    node = Loopback(tmp_path / "node", settings)
    for uid in (43, 44):
        with process(node, uid) as lane:
            family = lane.family(hostile.SIZE._replace(name=f"size_{uid}"))
            for number in range(n):
                lane.series(hostile.SIZE.type, family, f"{uid} {number:0{length}}")
            node.collector.tick()
            lane.record(hostile.OBSERVE, 1)
            lane.record(hostile.OBSERVE, n)
            found = node.samples()
        counts = found.of(f"size_{uid}_count")
        assert counts[(("queue", f"{uid} {0:0{length}}"),)] == 1
        assert counts[(("queue", "__overflow__"),)] == 1
    assert found.value("shmetrics_quota_limit", quota="store_bytes_per_uid") == MIB // 2
    assert 0 < found.value("shmetrics_quota_used", quota="store_bytes_per_uid") <= MIB // 2
    assert found.sum("shmetrics_quota_exceeded_total", quota="store_bytes_per_uid") > 0
    assert found.sum("shmetrics_quarantined_total") == 0
    node.release()


# ---- nobody -------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True], ids=["as long as it runs", "after a restart"])
def test_what_has_no_series_leaves_with_the_last_process_that_has_it(
    node: Loopback, again: bool
) -> None:
    """Check that the table and the log have nothing of it."""
    with process(node, 43) as one:
        define(one, "first", 1)
    node.collector.store.log.rewrite()
    used_bytes = node.collector.store.used_bytes
    kinds = hostile.JOBS, hostile.SIZE, hostile.RPC, hostile.BUSY
    with process(node, 43) as one:
        for kind in kinds:
            define(one, kind.name, 1, kind)
        with process(node, 44) as other:
            define(other, hostile.RPC.name, 1, hostile.RPC)
            node.collector.tick()
            assert families(node) == {f"{kind.name}_0" for kind in kinds}
        assert families(node) == {f"{kind.name}_0" for kind in kinds}
        node.collector.tick()
        if again:
            node.restart()
    assert families(node) == set()
    node.collector.store.log.rewrite()
    assert node.collector.store.used_bytes == used_bytes
    with process(node, 44) as other:  # another shape of what is gone
        other.family(hostile.RPC._replace(name=f"{hostile.JOBS.name}_0"))
        node.collector.tick()
        assert families(node) == {f"{hostile.JOBS.name}_0"}
        assert node.samples().sum("shmetrics_refused_families_total") == 0


def test_the_log_does_not_grow_with_families_that_come_and_go(node: Loopback) -> None:
    for number in range(400):
        with process(node, 43) as lane:
            define(lane, f"short_{number}", 3)
    assert node.collector.store.log.used_bytes < 64 * 1024
    assert node.collector.families.limited() == 1  # shmetrics_rpc_abandoned


def test_totals_stay_until_their_place_is_needed_and_they_have_been_seen(node: Loopback) -> None:
    """Check that the family goes first that nobody has had for longest."""
    for number in range(8):
        with process(node, 43) as lane:
            count(lane, f"old_{number}")
        pass_time(node, 1)
    with process(node, 43) as lane:
        count(lane, "too_soon")
    assert "too_soon" not in families(node)
    assert node.samples().sum("old_0_total") == 1
    with process(node, 43) as lane:
        count(lane, "new", 3)
        found = node.samples()
        assert found.value("new_total") == 3
        assert found.of("old_0_total") == {}
        assert found.value("old_1_total") == 1
        counted = {labels[0][1] for labels in found.of("shmetrics_series_overflow_total")}
        assert counted == families(node)


def test_nobody_scrapes(node: Loopback) -> None:
    """Check families that have been there for long enough."""
    for number in range(8):
        with process(node, 43) as lane:
            count(lane, f"old_{number}")
    pass_time(node, SCRAPE_SECONDS + 1)
    with process(node, 43) as lane:
        count(lane, "new", 3)
    assert node.samples().value("new_total") == 3


def test_what_a_process_has_never_gives_way(node: Loopback) -> None:
    with process(node, 43) as lane:
        for number in range(8):
            count(lane, f"mine_{number}")
        node.collector.tick()
        node.samples()
        pass_time(node, 10 * SCRAPE_SECONDS)
        with process(node, 43) as another:
            count(another, "more")
        assert families(node) == {f"mine_{number}" for number in range(8)}


def test_one_users_families_give_way_to_its_own_alone(node: Loopback) -> None:
    with process(node, 44) as lane:
        count(lane, "other", 5)
    node.samples()
    for number in range(20):
        with process(node, 43) as lane:
            count(lane, f"mine_{number}")
        node.samples()
    assert node.samples().value("other_total") == 5


@pytest.mark.slow
def test_a_full_store_takes_the_room_of_families_of_nobody(tmp_path: Path) -> None:
    node = Loopback(tmp_path / "node", Settings(MIB))
    for name in ("first", "then", "last"):
        with process(node, 43) as lane:
            family = lane.family(hostile.SIZE._replace(name=name))
            for number in range(2000):
                lane.series(hostile.SIZE.type, family, f"{number}")
            node.collector.tick()
            for series in (500, 2000):
                lane.record(hostile.OBSERVE, series)
        found = node.samples()
        assert found.value(f"{name}_count", queue="499") == 1
        assert found.value(f"{name}_count", queue="__overflow__") == 1
        assert families(node) == {name}
    node.release()


# ---- idle ---------------------------------------------------------------------------------


def test_idle_families_of_nobody_leave_with_all_that_they_have(tmp_path: Path) -> None:
    """Check families without labels, and the collector's own counts of all of them."""
    settings = Settings(4 * MIB, LIMITS, series_idle_seconds=IDLE_SECONDS)
    node = Loopback(tmp_path / "node", settings)
    with process(node, 44) as living:
        count(living, "living")
        with process(node, 43) as lane:
            count(lane, "bare", 4)
            lane.series(hostile.RPC.type, lane.family(hostile.RPC), "fast")
            lane.record(hostile.CALL_START, 2)
        node.samples()
        assert families(node) == {"bare", "hostile_rpc", "living"}
        for _ in range(4):
            pass_time(node, IDLE_SECONDS)
        assert families(node) == {"living"}
        for _ in range(2):
            found = node.samples()
            assert found.names("bare") == found.names("hostile") == set()
            overflow = found.of("shmetrics_series_overflow_total")
            assert overflow.keys() == {(("family", "living"),)}
            assert found.of("shmetrics_coarse_observations_total") == {}
            node.restart()
    node.release()


def test_what_comes_again_begins_at_zero(node: Loopback) -> None:
    """Check cells that other series may have had."""
    for number in range(30):
        with process(node, 43) as lane:
            name = f"jobs_{number % 10}"
            count(lane, name, 5)
            assert node.samples().value(f"{name}_total") == 5


def test_a_name_that_a_living_process_has_is_taken_from_nobody(node: Loopback) -> None:
    """Check a name without series."""
    with process(node, 43) as one:
        family = one.family(hostile.JOBS)
        node.collector.tick()
        node.samples()
        with process(node, 44) as other:
            other.family(hostile.JOBS._replace(label_names=()))
        one.record(hostile.ADD, one.series(hostile.JOBS.type, family, "fast"), 7)
        assert node.samples().of("hostile_jobs_total") == {(("queue", "fast"),): 7}


def test_another_users_family_is_kept_out_of_no_name_for_ever(node: Loopback) -> None:
    """Check that a name has the type of the process that holds it, and that its totals are in
    nobody's way later, once they were scraped, by any of its sample names."""
    rpc = hostile.RPC._replace(name="jobs")
    mine = counter("jobs"), counter("jobs_invocation_end"), hostile.JOBS._replace(name="jobs")
    for n, definition in enumerate(mine):
        uid = 50 + n
        with process(node, uid) as stranger:
            stranger.series(rpc.type, stranger.family(rpc), "x")
            stranger.record(hostile.CALL_END, 1)
            with process(node, 44) as early:
                early.family(definition)
        with process(node, 44) as early:  # nobody has seen the stranger's call
            early.family(definition)
        found = node.samples()
        assert found.value("jobs_invocation_end_total", queue="x") == 1
        assert found.value("shmetrics_refused_families_total", reason="conflict") == 2 * n + 2
        with process(node, 44) as other:
            values = ("fast",) * len(definition.label_names)
            series = other.series(definition.type, other.family(definition), *values)
            other.record(hostile.ADD, series, 7)
        found = node.samples()
        assert found.sum(f"{definition.name}_total") == 7
        assert found.names("jobs_processing") == set()


def test_a_new_release_comes_where_all_families_are_there(node: Loopback) -> None:
    """Check the release after that, without a pause; but the number of shapes has an end."""
    with contextlib.ExitStack() as releases:
        for labels in (("a",), ("a", "b")):
            lane = releases.enter_context(process(node, 43))
            define(lane, "jobs", 8, counter("", *labels))
            for number in range(8):
                lane.record(hostile.ADD, lane.series(1, number + 1, *labels))
        found = node.samples()
        assert found.of("shmetrics_refused_families_total") == {}
        assert found.sum("jobs_7_total") == 2
        assert found.value("shmetrics_quota_used", quota="families_per_uid") == 8
        with process(node, 43) as lane:
            define(lane, "jobs", 8, counter("", "c"))
            assert (
                node.samples().value("shmetrics_refused_families_total", reason="families_per_uid")
                == 8
            )
    with process(node, 43) as lane:
        define(lane, "jobs", 8, counter("", "c"))
        for number in range(8):
            lane.record(hostile.ADD, lane.series(1, number + 1, "c"))
        found = node.samples()
        assert found.value("shmetrics_refused_families_total", reason="families_per_uid") == 8
        assert found.value("jobs_7_total", c="c") == 1


def test_old_shapes_go_first_where_there_is_no_room(node: Loopback) -> None:
    """Check shapes whose last totals were not scraped."""
    with process(node, 43) as new:
        with process(node, 43) as old:
            count(old, "jobs_0")
            count(old, "other")
        labelled = counter("jobs_0", "a")
        new.record(hostile.ADD, new.series(1, new.family(labelled), "x"), 5)
        assert node.samples().sum("jobs_0_total") == 6
        assert node.collector.store.free_room(None)
        found = node.samples()
        assert found.value("jobs_0_total", a="x") == 5
        assert found.sum("jobs_0_total") == 5
        assert found.value("other_total") == 1


def test_no_old_shape_goes_before_all_lanes_are_read(node: Loopback) -> None:
    """Check one that a lane may hold which is not read yet after a start."""
    with process(node, 43) as new:
        with process(node, 43) as old:
            count(old, "jobs_0")
        labelled = counter("jobs_0", "a")
        new.record(hostile.ADD, new.series(1, new.family(labelled), "x"), 5)
        node.collector.tick()  # and no scrape, as after a start
        node.collector.families.is_catching_up = True
        assert not node.collector._unused.free_room(None)
        node.collector.families.end_catching_up()
        assert node.samples().sum("jobs_0_total") == 6


@pytest.mark.slow
def test_the_room_of_idle_series_is_for_other_families(tmp_path: Path) -> None:
    """Check a family of which a living process still has a series."""
    settings = Settings(MIB, series_idle_seconds=IDLE_SECONDS)
    node = Loopback(tmp_path / "node", settings)
    with process(node, 44) as living:
        with process(node, 43) as lane:
            family = lane.family(hostile.SIZE)
            for number in range(2500):
                lane.series(hostile.SIZE.type, family, f"{number}")
        living.series(hostile.SIZE.type, living.family(hostile.SIZE), "700")
        living.record(hostile.OBSERVE, 1)
        before = node.samples()
        assert before.value("shmetrics_series") > 1000
        assert before.value("shmetrics_series_overflow_total", family="hostile_size") > 0
        for _ in range(4):
            pass_time(node, IDLE_SECONDS)
        assert node.samples().value("shmetrics_series") < 10
        with process(node, 43) as lane:
            family = lane.family(hostile.SIZE._replace(name="then"))
            for number in range(700):
                lane.record(hostile.OBSERVE, lane.series(hostile.SIZE.type, family, f"{number}"))
                if number % 50 == 49:  # before the ring is full
                    node.collector.tick()
        found = node.samples()
        assert len(found.of("then_count")) == found.sum("then_count") == 700
        living.record(hostile.OBSERVE, 1)
        assert node.samples().value("hostile_size_count", queue="700") == 2
    node.release()
