# SPDX-License-Identifier: Apache-2.0
"""Zaqar, traced with OSProfiler: into Redis as its developers have it, and into our lanes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from redis import Redis as Client

from tests.openstack import trees
from tests.openstack.deployment import Sections
from tests.openstack.environments import Environment, environment
from tests.openstack.logs import errors_in, ours_in
from tests.openstack.result import Result
from tests.openstack.telemetry import KEY, Telemetry, telemetry, trace_headers
from tests.openstack.trees import Tree, tree_of
from tests.openstack.zaqar import OWN_SWITCHES, PACKAGES, Zaqar
from tests.servers.mongodb import MongoDB
from tests.servers.patience import until
from tests.servers.redis import Redis

STEPS: Final = ("post", "read", "claim", "delete")
PROGRAMS: Final = Path(__file__).parent / "programs"
SEEN: Final = [None, ["one", "two"], ["one", "two"], None]


@pytest.fixture(scope="module")
def zaqar_environment() -> Environment:
    return environment("zaqar", PACKAGES)


class Cloud:
    """What is needed to have a Zaqar, several times."""

    def __init__(self, environment: Environment, redis: Redis, folder: Path) -> None:
        self.environment = environment
        self.redis = redis
        self.folder = folder

    @contextmanager
    def zaqar(self, *sections: Sections) -> Iterator[tuple[Zaqar, Telemetry]]:
        """Run a Zaqar whose data is in Redis, and which has none yet, until the block ends."""
        with Client.from_url(self.redis.url) as client:
            client.flushall()
        stores = {
            f"drivers:{store}:redis": {"uri": self.redis.url}
            for store in ("message_store", "management_store")
        }
        with telemetry(self.folder) as measured:
            found = Zaqar(self.environment, self.folder, measured.variables, stores, *sections)
            try:
                yield found, measured
            finally:
                found.close()


@pytest.fixture
def cloud(zaqar_environment: Environment, redis: Redis, tmp_path: Path) -> Cloud:
    return Cloud(zaqar_environment, redis, tmp_path)


def profiler(**options: Any) -> Sections:
    """Return `[profiler]` of a Zaqar that is traced into our lanes, with all its own switches."""
    on = {"enabled": True, "hmac_keys": KEY, "connection_string": "shm://"}
    return {"profiler": {**on, **OWN_SWITCHES, **options}}


def work(cloud: Cloud, *sections: Sections, storage: str = "") -> Tree:
    """Return the tree of what a client does in one trace.

    storage: the connection string of OSProfiler's own driver that has it; "": it is in our lanes.
    """
    with cloud.zaqar(*sections) as (zaqar, measured):
        zaqar.start_server()
        done = zaqar.client(*STEPS)
        assert done["seen"] == SEEN
        return tree_of(storage, done["base_id"]) if storage else measured.tree(done["base_id"])


def test_the_tree_is_that_of_osprofilers_own_driver(cloud: Cloud, result: Result) -> None:
    """Initialization, WSGI, pooling, Redis, HMAC and the client, as Zaqar itself traces them."""
    storage = f"{cloud.redis.url}/1"
    theirs = work(cloud, profiler(connection_string=storage), storage=storage)
    ours = work(cloud, profiler())
    found = trees.compare({"": theirs}, {"": ours})
    assert {"wsgi", "pooling_queue_controller", "redis_message_controller"} <= ours.names().keys()
    result.add("Zaqar", "spans of one trace, `redis://` and `shm://`", found)


def test_without_its_own_switch_for_requests_the_tree_is_the_same(cloud: Cloud) -> None:
    """OSProfiler's initializer switches requests on again, whatever Zaqar's switch says."""
    off = {"trace_wsgi_transport": False}
    storage = f"{cloud.redis.url}/1"
    theirs = work(cloud, profiler(connection_string=storage, **off), storage=storage)
    ours = work(cloud, profiler(**off))
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("connection_string", ["redis://", "shm://"])
def test_without_one_of_its_switches_for_stores_it_fails(
    cloud: Cloud, connection_string: str
) -> None:
    """Zaqar 23 has no driver then: where it needs one it ends, or answers 503."""
    if connection_string == "redis://":
        connection_string = f"{cloud.redis.url}/1"
    options = profiler(connection_string=connection_string)["profiler"]
    with cloud.zaqar({"profiler": {**options, "trace_management_store": False}}) as (zaqar, _):
        with pytest.raises(AssertionError, match="ended with status 1"):
            zaqar.start_server()
        assert "'NoneType' object has no attribute" in zaqar.logs()["zaqar-server"]
    with cloud.zaqar({"profiler": {**options, "trace_message_store": False}}) as (zaqar, _):
        zaqar.start_server()
        messages = {"messages": [{"body": "one", "ttl": 300}]}
        assert zaqar.api("POST", "/queues/orders/messages", messages)[0] == 503
        assert "'NoneType' object has no attribute" in zaqar.logs()["zaqar-server"]
    assert ours_in(zaqar.logs()) == []


def test_the_compiled_profiler_makes_the_same_tree(cloud: Cloud, result: Result) -> None:
    plain = work(cloud, profiler())
    compiled = work(cloud, profiler(compiled_profiler=True))
    found = trees.compare({"": plain}, {"": compiled})
    result.add("Zaqar", "the same with `compiled_profiler`", found)


def test_commands_of_redis_are_spans_by_configuration(cloud: Cloud, result: Result) -> None:
    tree = work(cloud, profiler(trace_redis=True, trace_wsgi=True, compiled_profiler=True))
    below = tree.parents("redis")
    assert below["redis_message_controller"] > 0
    assert below["redis_queue_controller"] > 0
    assert tree.parents("wsgi") == {"trace": tree.names()["wsgi"]}  # one per request
    result.add("Zaqar", "commands of Redis in a trace", str(below.total()))


def test_statements_are_spans_by_configuration(cloud: Cloud, result: Result) -> None:
    """Run Zaqar with its management in SQLite, and two pools that are made by its API."""
    database = f"sqlite:///{cloud.folder}/zaqar.sqlite"
    stores: Sections = {
        "drivers": {"management_store": "sqlalchemy"},
        "drivers:management_store:sqlalchemy": {"uri": database},
        "pooling:catalog": {"enable_virtual_pool": False},
    }
    switches = profiler(trace_sqlalchemy=True, trace_transactions=True, trace_wsgi=True)
    with cloud.zaqar(stores, switches) as (zaqar, measured):
        zaqar.run("python", PROGRAMS / "zaqar_tables.py", database)
        zaqar.start_server()
        for n in (1, 2):
            pool = {"uri": f"{cloud.redis.url}?dbid={n + 1}", "weight": 100}
            assert zaqar.api("PUT", f"/pools/pool{n}", pool)[0] == 201
        done = zaqar.client(*STEPS)
        assert done["seen"] == SEEN
        tree = measured.tree(done["base_id"])
    below = tree.parents("db")
    assert below.total() > 0
    assert tree.parents("db.transaction").total() > 0
    assert "pooling_catalogue_controller" in tree.names()
    assert measured.samples.sum("sqlalchemy_invocation_end_total") >= below.total()
    result.add("Zaqar", "statements of SQLAlchemy in a trace", str(below.total()))


def test_commands_of_mongodb_are_spans_by_configuration(cloud: Cloud) -> None:
    """Run Zaqar's driver for MongoDB against a stand-in, whose collections are always empty."""
    server = MongoDB()
    stores: Sections = {
        "DEFAULT": {"pooling": False, "unreliable": True},
        "drivers": {"message_store": "mongodb"},
        "drivers:message_store:mongodb": {"uri": server.url, "database": "messages"},
    }
    try:
        with cloud.zaqar(stores, profiler(trace_mongodb=True, trace_wsgi=True)) as (
            zaqar,
            measured,
        ):
            zaqar.start_server()
            base_id = str(uuid.uuid4())
            assert zaqar.api("PUT", "/queues/orders")[0] == 201
            path = "/queues/orders/messages"
            status, answer = zaqar.api("GET", path, **trace_headers(base_id))
            assert (status, answer["messages"]) == (200, [])
            tree = measured.tree(base_id)
        assert tree.names()["mongodb"] > 0
        assert ours_in(zaqar.logs()) == []
    finally:
        server.stop()


def test_a_trace_with_another_key_is_none(cloud: Cloud) -> None:
    with cloud.zaqar(profiler(trace_wsgi=True)) as (zaqar, measured):
        zaqar.start_server()
        assert zaqar.client(*STEPS, key="somebody-elses")["seen"] == SEEN
        assert measured.get("/api/v1/traces") == []
    refused = measured.samples.of("osprofiler_source_refused_total")
    assert {dict(labels)["reason"] for labels, value in refused.items() if value} == {"signature"}


def test_requests_without_a_trace_record_no_span(cloud: Cloud) -> None:
    """Show what is there at rest: with all switches on, a request outside a trace has no span."""
    switches = profiler(trace_wsgi=True, trace_redis=True, compiled_profiler=True)
    with cloud.zaqar(switches) as (zaqar, measured):
        zaqar.start_server()
        assert zaqar.client(*STEPS, key="")["seen"] == SEEN
        assert measured.get("/api/v1/traces") == []
    assert measured.samples.sum("redis_invocation_end_total") > 0  # metrics need no trace


def test_workers_are_killed_reloaded_and_stopped(cloud: Cloud) -> None:
    with cloud.zaqar(profiler(trace_wsgi=True, trace_redis=True)) as (zaqar, measured):
        zaqar.start_workers(processes=2)

        def works() -> bool:
            done = zaqar.client(*STEPS)
            return bool(done["seen"] == SEEN and "redis" in measured.tree(done["base_id"]).names())

        assert measured.processes(zaqar) == set()
        assert works()
        assert measured.processes(zaqar) == {"zaqar-uwsgi"}
        zaqar.kill_workers("zaqar-uwsgi")
        assert works()
        zaqar.reload("zaqar-uwsgi")
        until(lambda: "versions" in str(zaqar.api("GET", "/../")), list, 30)
        assert works()
        assert zaqar.stop() == {"zaqar-uwsgi": 0}
    assert ours_in(zaqar.logs()) == []


def test_a_log_has_nothing_of_ours(cloud: Cloud) -> None:
    switches = {"trace_wsgi": True, "trace_redis": True, "compiled_profiler": True}
    for options in ({"connection_string": f"{cloud.redis.url}/1"}, switches):
        with cloud.zaqar(profiler(**options)) as (zaqar, _):
            zaqar.start_server()
            zaqar.client(*STEPS)
        assert ours_in(zaqar.logs()) == []
        assert errors_in(zaqar.logs()) == []
