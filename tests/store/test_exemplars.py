# SPDX-License-Identifier: Apache-2.0
"""Traces of events, from an instrument to what a scrape shows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import shmetrics
from shmetrics import _ring
from shmetrics.collector.collector import Settings
from shmetrics.render import openmetrics
from shmetrics.store.limits import Limits
from tests.nodes.loopback import MIB, Loopback
from tests.nodes.node import Node
from tests.servers.processes import until
from tests.servers.prometheus import Prometheus

BOUNDS = (0.5, 1.0)


class Seen(NamedTuple):
    """An exemplar, as a scrape shows it."""

    trace: str
    span: str | None
    value: float
    seconds: float


Shown = dict[tuple[str, tuple[tuple[str, str], ...]], Seen]


def shown(text: str) -> Shown:
    """Return exemplars by the name and the labels of their samples."""
    found: Shown = {}
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    for sample in (sample for family in families for sample in family.samples):
        if sample.exemplar is not None:
            labels, value, stamp = sample.exemplar
            assert set(labels) <= {"trace_id", "span_id"}
            found[sample.name, tuple(sorted(sample.labels.items()))] = Seen(
                labels["trace_id"], labels.get("span_id"), value, float(stamp)
            )
    return found


def look(loopback: Loopback) -> Shown:
    return shown(openmetrics.render(loopback.collector.tables(), {}).decode())


def traced(number: int, span: int | None = None) -> dict[str, str]:
    ids = {"trace_id": f"{number:032x}"}
    return ids if span is None else ids | {"span_id": f"{span:016x}"}


def test_each_instrument_says_which_trace_its_event_belongs_to(loopback: Loopback) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("a")
    size = shmetrics.Histogram("size", "Size", ["queue"], buckets=BOUNDS).labels("a")
    rpc = shmetrics.Calls("rpc", "Calls", ["queue"], buckets=BOUNDS).labels("a")
    begun = time.time()
    jobs.inc(2.5, exemplar=traced(1, 2))
    size.observe(0.25, exemplar=traced(3))
    size.observe(7, traced(4, 5))
    with rpc.traced(exemplar=traced(6, 7)):
        pass
    with pytest.raises(KeyError), rpc.traced(traced(8, 9)):
        raise KeyError
    found = look(loopback)
    queue = ("queue", "a")
    assert {key: seen[:2] for key, seen in found.items()} == {
        ("jobs_total", (queue,)): (f"{1:032x}", f"{2:016x}"),
        ("size_bucket", (("le", "0.5"), queue)): (f"{3:032x}", None),
        ("size_bucket", (("le", "+Inf"), queue)): (f"{4:032x}", f"{5:016x}"),
        ("rpc_processing_seconds_bucket", (("le", "0.5"), queue)): (f"{8:032x}", f"{9:016x}"),
        ("rpc_exception_total", (("exception", "KeyError"), queue)): (f"{8:032x}", f"{9:016x}"),
    }
    values = {name: seen.value for (name, _), seen in found.items() if "rpc" not in name}
    assert values == {"jobs_total": 2.5, "size_bucket": 7.0}
    assert 0 < found["rpc_processing_seconds_bucket", (("le", "0.5"), queue)].value < 0.5
    assert all(begun - 1 <= seen.seconds <= time.time() + 1 for seen in found.values())

    totals = loopback.samples()
    assert totals.value("jobs_total", queue="a") == 2.5
    assert totals.value("size_count", queue="a") == 2
    assert totals.value("rpc_invocation_end_total", queue="a") == 2


def test_a_call_of_start_and_end_has_the_trace_it_began_with(loopback: Loopback) -> None:
    rpc = shmetrics.Calls("rpc", "Calls", buckets=BOUNDS).labels()
    first, second, third = rpc.start(), rpc.start(traced(2)), rpc.start(exemplar=traced(3))
    rpc.end(third)
    rpc.end(second)
    rpc.end(first)  # of no trace, and the last one
    (seen,) = look(loopback).values()
    assert seen.trace == f"{2:032x}"


def test_an_exemplar_stays_until_there_is_a_newer_one(loopback: Loopback) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs").labels()
    for number in range(1, 4):
        jobs.inc(exemplar=traced(number))
        jobs.inc()
        for _ in range(2):
            assert [seen.trace for seen in look(loopback).values()] == [f"{number:032x}"]


def test_an_id_may_be_a_uuid(loopback: Loopback) -> None:
    id = uuid.uuid4()
    shmetrics.Counter("jobs", "Jobs").inc(exemplar={"trace_id": str(id)})
    assert [seen.trace for seen in look(loopback).values()] == [id.hex]


class Hostile(dict[str, str]):
    """A dictionary that raises an error at each question."""

    def __getitem__(self, name: str) -> str:
        raise RuntimeError(name)

    __len__ = __contains__ = __getitem__  # type: ignore[assignment]


BAD: dict[str, tuple[Any, bool]] = {
    "no id": ({"span_id": "1" * 16}, False),
    "too short": ({"trace_id": "1" * 31}, False),
    "no digits": ({"trace_id": "x" * 32}, False),
    "all zero": ({"trace_id": "0" * 32}, False),
    "a number": ({"trace_id": 1}, False),
    "half a surrogate pair": ({"trace_id": "\ud800" * 32}, False),
    "a string": ("1" * 32, False),
    "a flag": (True, False),
    "hostile": (Hostile(), False),
    "another span": ({"trace_id": "1" * 32, "span_id": "1"}, True),
    "a span that is a number": ({"trace_id": "1" * 32, "span_id": 1}, True),
    "another label": ({"trace_id": "1" * 32, "user": "me"}, True),
}


@pytest.mark.parametrize("how", BAD)
def test_what_cannot_be_kept_is_counted_and_so_is_the_event(loopback: Loopback, how: str) -> None:
    exemplar, is_kept = BAD[how]
    shmetrics.Counter("jobs", "Jobs").inc(exemplar=exemplar)
    shmetrics.Histogram("size", "Size").observe(0.5, exemplar)
    rpc = shmetrics.Calls("rpc", "Calls").labels()
    with rpc.traced(exemplar):
        rpc.end(rpc.start(exemplar))
    assert _ring.process_status()["dropped"]["bad_exemplar"] == 4
    found, totals = look(loopback), loopback.samples()
    assert {(seen.trace, seen.span) for seen in found.values()} == (
        {("1" * 32, None)} if is_kept else set()
    )
    assert totals.value("shmetrics_dropped_total", cause="bad_exemplar") == 4
    assert [totals.value(name) for name in ("jobs_total", "size_count")] == [1, 1]
    assert totals.value("rpc_invocation_end_total") == 2


@pytest.mark.parametrize("none", [None, {}], ids=str)
def test_no_exemplar_is_none(loopback: Loopback, none: Any) -> None:
    shmetrics.Counter("jobs", "Jobs").inc(exemplar=none)
    assert look(loopback) == {}
    assert _ring.process_status()["dropped"]["bad_exemplar"] == 0


def test_what_finds_no_room_in_the_ring_loses_its_exemplar_only(loopback: Loopback) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs").labels()
    size = shmetrics.Histogram("size", "Size", buckets=BOUNDS).labels()
    while not shmetrics.status()["spilled"]:
        size.observe(0.25)
    jobs.inc(3.0, exemplar=traced(1))
    size.observe(2.0, exemplar=traced(2))
    spilled = shmetrics.status()["spilled"]
    assert look(loopback) == {}
    assert loopback.samples().value("jobs_total") == 3
    assert loopback.samples().value("shmetrics_spilled_total") == spilled == 3


def test_series_that_share_an_overflow_series_share_its_exemplars(tmp_path: Path) -> None:
    settings = Settings(store_bytes=4 * MIB, limits=Limits(series_per_family=1))
    with_loopback(tmp_path, settings, share_an_overflow_series)


def with_loopback(path: Path, settings: Settings, act: Callable[[Loopback], None]) -> None:
    found = Loopback(path, settings)
    _ring.process_detach()
    found.attach()
    try:
        act(found)
    finally:
        _ring.process_detach()
        found.collector.tick()
        found.release()


def share_an_overflow_series(loopback: Loopback) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    for number, queue in enumerate("abc", 1):
        jobs.labels(queue).inc(exemplar=traced(number))
    assert {dict(labels)["queue"]: seen.trace for (_, labels), seen in look(loopback).items()} == {
        "a": f"{1:032x}",
        "__overflow__": f"{3:032x}",
    }


def test_the_table_has_a_limit_that_shows(tmp_path: Path) -> None:
    settings = Settings(store_bytes=4 * MIB, limits=Limits(exemplars=2))
    with_loopback(tmp_path, settings, exceed_the_limit)


def exceed_the_limit(loopback: Loopback) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    for number, queue in enumerate("abcdb", 1):
        jobs.labels(queue).inc(exemplar=traced(number))
    assert {dict(labels)["queue"] for _, labels in look(loopback)} == {"d", "b"}
    found = loopback.samples()
    assert found.value("shmetrics_quota_used", quota="exemplars") == 2
    assert found.value("shmetrics_quota_limit", quota="exemplars") == 2
    assert found.value("shmetrics_quota_exceeded_total", quota="exemplars") == 3


def test_a_limit_of_none_keeps_none(tmp_path: Path) -> None:
    def act(loopback: Loopback) -> None:
        shmetrics.Counter("jobs", "Jobs").inc(exemplar=traced(1))
        assert look(loopback) == {}
        assert loopback.samples().value("jobs_total") == 1

    with_loopback(tmp_path, Settings(store_bytes=4 * MIB, limits=Limits(exemplars=0)), act)


def test_a_restart_loses_exemplars_and_no_totals(loopback: Loopback) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs").labels()
    jobs.inc(exemplar=traced(1))
    assert look(loopback)
    jobs.inc(exemplar=traced(2))
    loopback.restart()  # which drains what is there
    assert loopback.samples().value("jobs_total") == 2
    jobs.inc(exemplar=traced(3))
    assert [seen.trace for seen in look(loopback).values()] == [f"{3:032x}"]


def test_rows_beyond_a_chunk_and_series_out_of_order_have_their_own(loopback: Loopback) -> None:
    jobs = shmetrics.Histogram("jobs", "Jobs", ["queue"], buckets=BOUNDS)
    for number in range(100, 0, -1):
        jobs.labels(number).observe(number % 3, exemplar=traced(number))
    found = look(loopback)
    assert len(found) == 100
    for (_, labels), seen in found.items():
        queue = int(dict(labels)["queue"])
        assert int(seen.trace, 16) == queue
        assert dict(labels)["le"] == ("0.5", "1.0", "+Inf")[queue % 3]


def test_a_series_that_takes_the_place_of_another_has_not_its_exemplar(tmp_path: Path) -> None:
    settings = Settings(store_bytes=4 * MIB, series_idle_seconds=10.0)
    with_loopback(tmp_path, settings, take_a_place)


def take_a_place(loopback: Loopback) -> None:
    collector = loopback.collector
    now_ns = [time.monotonic_ns()]
    collector._monotonic_ns = lambda: now_ns[0]
    shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("gone").inc(exemplar=traced(1))
    _ring.process_detach()
    for _ in range(3):
        now_ns[0] += 20 * 10**9
        collector.tick()
    assert look(loopback) == {}
    assert len(collector.families.exemplars) == 0
    loopback.attach()
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    jobs.labels("new").inc()
    assert loopback.samples().of("jobs_total") == {(("queue", "new"),): 1}
    assert look(loopback) == {}


def test_a_prometheus_stores_them(node: Node, prometheus: Callable[..., Prometheus]) -> None:
    node.start()
    server = prometheus(node.url + "/metrics", ["exemplar-storage"])
    emitter = node.emitter(
        """
        size = shmetrics.Histogram("size", "Size", buckets=(0.5, 1.0))
        rpc = shmetrics.Calls("rpc", "Calls").labels()
        size.observe(0.25)  # spilled, as all that is recorded without a lane
        size.observe(0.75, exemplar={"trace_id": "1f" * 16, "span_id": "2e" * 8})
        with rpc.traced({"trace_id": "3d" * 16}):
            pass
        pause("recorded")
        """
    )
    emitter.until("recorded")
    begun = time.time()

    def found() -> dict[tuple[str, str], dict[str, Any]]:
        answer = server.get(
            "query_exemplars",
            query='{__name__=~"(size|rpc_processing_seconds)_bucket"}',
            start=str(begun - 60),
            end=str(time.time() + 60),
        )
        return {
            (series["seriesLabels"]["__name__"], one["labels"]["trace_id"]): one | series
            for series in answer
            for one in series["exemplars"]
        }

    until(lambda: len(found()) == 2, lambda: f"{found()}; {server.get('targets')}", 60)
    one = found()["size_bucket", "1f" * 16]
    assert one["labels"] == {"trace_id": "1f" * 16, "span_id": "2e" * 8}
    assert one["seriesLabels"]["le"] == "1.0"
    assert float(one["value"]) == 0.75
    assert abs(one["timestamp"] - begun) < 60
    assert ("rpc_processing_seconds_bucket", "3d" * 16) in found()
    emitter.go()
    emitter.end()
