# SPDX-License-Identifier: Apache-2.0
"""Series are summed up to methods, and quantiles estimated from buckets."""

import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.tables.methods import Method, family_title, quantile, summarize, work_of
from shmetrics.tables.table import EXEMPLAR, Series, Table

FAMILY = "oslo_messaging_rpc_client"
BOUNDS = (0.01, 0.1, 1.0)


def open_call(topic: str, method: str, age_seconds: float, family: str = FAMILY) -> dict[str, Any]:
    return {
        "family": family,
        "labels": {"topic": topic, "method": method},
        "age_seconds": age_seconds,
        "is_overdue": age_seconds > 5,
    }


def test_label_sets_of_one_method_are_summed_up(rpc_tables: list[Table]) -> None:
    exceptions = Table(
        f"{FAMILY}_exception",
        "counter",
        "",
        Series(
            ("topic", "method", "process", "exception"),
            [
                ("compute", "build", "a", "Timeout"),
                ("compute", "build", "b", "Boom"),
                ("volume", "gone", "b", "Boom"),
            ],
        ),
        values=np.array([2.0, 1.0, 7.0]),
    )
    calls = [open_call("compute", "build", age) for age in (3.0, 9.0, 4.0)]
    found = summarize([*rpc_tables, exceptions], calls)
    assert found == [
        Method(FAMILY, "compute", "build", 6, 5, 3, 2.5, list(BOUNDS), [1, 1, 2, 1], 3, 9.0, 1),
        Method(FAMILY, "network", "plug", 2, 2, 0, 1.0, list(BOUNDS), [2, 0, 0, 0]),
        Method(FAMILY, "volume", "gone", failed=7),
    ]


def test_commands_are_told_apart_by_their_operation() -> None:
    series = Series(("operation", "process"), [("GET", "a"), ("SET", "a"), ("GET", "b")])
    starts = Table("redis_invocation_start", "counter", "", series, values=np.array([1.0, 2, 4]))
    call = {**open_call("", "", 1.0, "redis"), "labels": {"operation": "SET"}}
    assert summarize([starts], [call]) == [
        Method("redis", "", "GET", started=5),
        Method("redis", "", "SET", started=2, in_flight=1, oldest_seconds=1),
    ]


@pytest.mark.parametrize(
    ("labels", "work"),
    [
        ({"topic": "t", "method": "build", "timeout": "60"}, "build"),
        ({"topic": "t", "event_type": "x.start", "priority": "info"}, "x.start"),
        ({"operation": "SELECT", "system": "mysql", "database": "nova"}, "SELECT"),
        ({"system": "mysql", "database": "nova", "process": "api"}, "mysql nova"),
        ({"view": "", "server": "s", "process": "api"}, ""),
    ],
)
def test_work_of_a_call(labels: dict[str, str], work: str) -> None:
    assert work_of(labels) == work


def test_other_tables_and_other_calls_do_not_matter() -> None:
    jobs = Table("jobs", "counter", "", Series(("topic",), [("x",)]), values=np.array([1.0]))
    assert summarize([jobs], [open_call("a", "b", 1.0)]) == []


def test_a_family_without_series(rpc_tables: list[Table]) -> None:
    empty = Table("x_invocation_start", "counter", "", Series(("topic",)))
    assert summarize([empty], []) == []


def test_a_notifications_method_is_its_event_type() -> None:
    name = "oslo_messaging_notification_client"
    series = Series(("topic", "event_type"), [("notifications", "vm.start")])
    starts = Table(f"{name}_invocation_start", "counter", "", series, values=np.array([3.0]))
    call = open_call("notifications", "", 1.0, name)
    call["labels"] = {"topic": "notifications", "event_type": "vm.start"}
    (found,) = summarize([starts], [call])
    assert (found.topic, found.method, found.started) == ("notifications", "vm.start", 3)
    assert found.in_flight == 1
    assert family_title(found.family) == "notification client"


def test_a_series_that_came_after_the_numbers_is_left_out(rpc_tables: list[Table]) -> None:
    rpc_tables[0].series.append(("late", "late", "late"))
    assert [row.topic for row in summarize(rpc_tables, [])] == ["compute", "network"]


def test_the_newest_trace_of_the_slowest_bucket_is_the_method_s(rpc_tables: list[Table]) -> None:
    durations = next(table for table in rpc_tables if table.kind == "histogram")
    exemplars = np.zeros(5, EXEMPLAR)
    for at, (row, bucket, stamp_ns, number) in enumerate(
        [(0, 0, 9, 1), (0, 2, 5, 2), (1, 1, 8, 3), (1, 2, 6, 4), (2, 0, 1, 5)]
    ):
        exemplars[at] = row, bucket, 0.5, stamp_ns, list(uuid.UUID(int=number).bytes), [0] * 8
    rpc_tables[rpc_tables.index(durations)] = replace(durations, exemplars=exemplars)
    processes = [values[:2] for values in durations.series.values]
    assert processes == [("compute", "build"), ("compute", "build"), ("network", "plug")]
    found = {row.method: row.trace for row in summarize(rpc_tables, [])}
    assert found == {"build": str(uuid.UUID(int=4)), "plug": str(uuid.UUID(int=5))}


def test_quantiles_by_hand() -> None:
    assert quantile(0.5, BOUNDS, [0, 0, 0, 0]) is None
    assert quantile(0.5, (), [3]) is None
    assert quantile(0.5, BOUNDS, [10, 0, 0, 0]) == pytest.approx(0.005)
    assert quantile(0.5, BOUNDS, [0, 4, 0, 0]) == pytest.approx(0.055)
    assert quantile(0.99, BOUNDS, [99, 0, 1, 0]) == pytest.approx(0.01)
    assert quantile(0.999, BOUNDS, [99, 0, 0, 1]) == 1.0
    assert quantile(0.0, BOUNDS, [0, 0, 5, 0]) == pytest.approx(0.1)


@given(
    st.floats(0, 1),
    st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any),
)
def test_a_quantile_lies_in_the_bucket_of_its_rank(q: float, buckets: list[int]) -> None:
    """Check against the slow, obvious way: a sorted list that holds one bucket index per value."""
    values = [at for at, count in enumerate(buckets) for _ in range(count)]
    rank = min(max(int(np.ceil(q * len(values))) - 1, 0), len(values) - 1)
    found = quantile(q, BOUNDS, buckets)
    assert found is not None
    bucket = values[rank]
    low = (0.0, *BOUNDS)[bucket]
    high = (*BOUNDS, BOUNDS[-1])[bucket]
    assert min(low, BOUNDS[-1]) - 1e-9 <= found <= high + 1e-9
