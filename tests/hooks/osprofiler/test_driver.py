# SPDX-License-Identifier: Apache-2.0
"""`connection_string = shm://`: OSProfiler's own tests of a driver, and Redis's report."""

from __future__ import annotations

import json
from typing import Any

import pytest
import testtools
from osprofiler import notifier, opts, profiler
from osprofiler.drivers.base import get_driver
from osprofiler.tests.functional import test_driver as functional

from shmetrics.hooks.osprofiler.collectors import NoCollectors
from tests.emitter.recording import dropped
from tests.nodes.node import Node
from tests.servers.redis import Redis

from .conftest import without_times

KEY = "SECRET_KEY"


class Shm(functional.RedisDriverTestCase):
    """OSProfiler's own tests of its Redis driver, with our driver."""

    __test__ = False  # run by the test below

    def setUp(self) -> None:
        super(functional.DriverTestCase, self).setUp()  # type: ignore[no-untyped-call]
        functional.CONF([])
        opts.set_defaults(
            functional.CONF,
            connection_string="shm://",
            enabled=True,
            trace_sqlalchemy=False,
            hmac_keys=KEY,
        )
        for name in ("connection_string", "enabled", "trace_sqlalchemy", "hmac_keys"):
            self.addCleanup(functional.CONF.clear_default, name, "profiler")


@pytest.mark.parametrize("name", ["test_get_report", "test_list_traces"])
def test_osprofilers_own_functional_tests(shm: Node, name: str) -> None:
    result = testtools.TestResult()
    Shm(name).run(result)
    assert not [*result.errors, *result.failures]
    assert result.testsRun == 1


OF = {"project": "cloud", "service": "nova", "host": "h"}


def both(redis: Redis, of: dict[str, str] = OF) -> tuple[Any, Any]:
    """Return our driver and Redis's; OSProfiler reports to both from now on."""
    ours, theirs = (get_driver(url, **of) for url in ("shm://", redis.url))

    def notify(info: dict[str, Any]) -> None:
        ours.notify(info)
        theirs.notify(info)

    notifier.set(notify)
    return ours, theirs


@profiler.trace_cls("rpc", hide_result=False)
class Service:
    def build(self, name: str, depth: int) -> str:
        with profiler.Trace("db", info={"db": {"statement": "SELECT ü", "params": [1, None, 2.5]}}):
            pass
        if depth:
            return self.build(name, depth - 1)
        raise ValueError(f"no {name}")


def test_the_report_is_redis_s_apart_from_times(shm: Node, redis: Redis) -> None:
    ours, theirs = both(redis)
    base_id = profiler.init(KEY).get_base_id()
    with (
        profiler.Trace("wsgi", info={"request": {"path": "/v2", "query": ""}}),
        pytest.raises(ValueError, match="no vm"),
    ):
        Service().build("vm", 2)
    found, wanted = ours.get_report(base_id), theirs.get_report(base_id)
    assert without_times(found) == without_times(json.loads(json.dumps(wanted)))
    assert found["stats"]["db"]["count"] == 3


def test_a_driver_that_is_told_no_project_says_none(shm: Node, redis: Redis) -> None:
    ours, theirs = both(redis, {})
    base_id = profiler.init(KEY).get_base_id()
    with profiler.Trace("wsgi"):
        pass
    assert without_times(ours.get_report(base_id)) == without_times(theirs.get_report(base_id))


def test_what_is_no_notification_is_counted_and_nothing_is_raised(shm: Node) -> None:
    before = dropped().get("bad_value", 0)
    get_driver("shm://").notify({"name": "wsgi-start"})
    assert dropped()["bad_value"] == before + 1


def test_listing_is_redis_s_apart_from_times(shm: Node, redis: Redis) -> None:
    ours, theirs = both(redis)
    theirs.filter_error_trace = True
    bases = []
    for fails in (False, True, False):
        bases.append(profiler.init(KEY).get_base_id())
        try:
            with profiler.Trace("wsgi"), profiler.Trace("rpc"):
                if fails:
                    raise ValueError
        except ValueError:
            pass
        profiler.clean()

    def ids(traces: list[dict[str, Any]]) -> list[Any]:
        return [trace["base_id"] for trace in traces]

    assert ids(ours.list_traces()) == bases
    assert set(ids(theirs.list_traces())) == set(bases)
    assert ids(ours.list_error_traces()) == ids(theirs.list_error_traces()) == [bases[1]]
    assert {frozenset(trace) for trace in ours.list_traces({"base_id"})} == {frozenset({"base_id"})}


def test_several_nodes_are_asked_and_what_they_say_is_put_together(shm: Node) -> None:
    host = shm.url.removeprefix("http://")
    ours = get_driver("shm://", service="nova")
    notifier.set(ours.notify)
    base_id = profiler.init(KEY).get_base_id()
    with profiler.Trace("wsgi"):
        pass
    merged = get_driver(f"shm://{host},127.0.0.1:1")  # nobody answers there
    assert merged.get_report(base_id)["stats"]["wsgi"]["count"] == 1
    twice = get_driver(f"shm://{host},{host}")
    assert twice.get_report(base_id)["stats"]["wsgi"]["count"] == 1
    assert len(twice.list_traces()) == 1


def test_no_collector_is_said_in_one_line(shm: Node) -> None:
    nobody = get_driver("shm://127.0.0.1:1")
    with pytest.raises(NoCollectors, match=r"127\.0\.0\.1:1: Connection refused"):
        nobody.get_report("x")


def test_a_trace_that_there_is_not(shm: Node) -> None:
    report = get_driver("shm://").get_report("7a6f1d2c-0000-4000-8000-000000000000")
    assert report["children"] == []
