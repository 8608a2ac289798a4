# SPDX-License-Identifier: Apache-2.0
"""Two looks at the collector, and what happened between them."""

import pytest

from shmetrics.cli.rates import Rate, between
from shmetrics.tables.methods import Method

BOUNDS = [0.1, 1.0]


def method(name: str, ended: int, buckets: list[int], **other: object) -> Method:
    return Method(
        "oslo_messaging_rpc_server", "compute", name,
        started=ended, ended=ended, bounds=BOUNDS, buckets=buckets, **other,  # type: ignore[arg-type]
    )  # fmt: skip


def test_an_interval() -> None:
    before = [method("build", 100, [100, 0, 0], failed=7)]
    hanging = {"in_flight": 3, "oldest_seconds": 9.0, "overdue": 2}
    after = [method("build", 110, [100, 10, 0], failed=9, **hanging)]
    (rate,) = between(before, after, 2.0)
    assert rate._replace(p50=None, p99=None) == Rate(
        "rpc server", "compute", "build", 5.0, 3, 9.0, 2, None, None, 1.0
    )
    assert rate.p50 == pytest.approx(0.55)
    assert rate.p99 == pytest.approx(0.991)


def test_nothing_happened() -> None:
    (rate,) = between([method("build", 5, [5, 0, 0])], [method("build", 5, [5, 0, 0])], 2.0)
    assert rate[3:] == (0.0, 0, None, 0, None, None, 0.0)


def test_a_new_method_counts_from_its_beginning() -> None:
    (rate,) = between([], [method("build", 5, [5, 0, 0])], 2.0)
    assert rate.per_second == 2.5
    assert rate.p50 == pytest.approx(0.05)


def test_a_method_that_had_only_failed() -> None:
    before = [Method("oslo_messaging_rpc_server", "compute", "build", failed=1)]
    (rate,) = between(before, [method("build", 4, [4, 0, 0], failed=1)], 1.0)
    assert rate.per_second == 4.0


def test_a_collector_that_began_anew() -> None:
    (rate,) = between([method("build", 9, [9, 0, 0])], [method("build", 2, [0, 2, 0])], 2.0)
    assert rate.per_second == 1.0
    assert rate.p50 == pytest.approx(0.55)


def test_rpc_comes_before_notifications() -> None:
    families = ("notification_server", "rpc_client", "notification_client", "rpc_server")
    after = [Method(f"oslo_messaging_{family}", "t", "m", ended=9) for family in families]
    after.append(Method("db_statements", "t", "m", ended=99))
    after[1].ended = after[3].ended = 0
    sides = [rate.side for rate in between([], after, 1.0)]
    assert sides == [
        *("rpc client", "rpc server", "db statements"),
        *("notification client", "notification server"),
    ]


def test_the_busiest_come_first() -> None:
    after = [
        method("idle", 0, [0, 0, 0]),
        method("hanging", 0, [0, 0, 0], in_flight=2),
        method("busy", 9, [9, 0, 0]),
        method("also idle", 0, [0, 0, 0]),
    ]
    assert [rate.method for rate in between([], after, 1.0)] == [
        "busy", "hanging", "also idle", "idle",
    ]  # fmt: skip
