# SPDX-License-Identifier: Apache-2.0
"""Heat: stacks that are built and deleted, by an engine whose workers cast to each other."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.openstack import counted, trees
from tests.openstack.cloud import Cloud
from tests.openstack.environments import environment
from tests.openstack.heat import PACKAGES, Heat
from tests.openstack.logs import ours_in
from tests.openstack.result import Result
from tests.openstack.telemetry import trace_headers
from tests.openstack.trees import tree_of
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis


@pytest.fixture
def cloud(tmp_path: Path, rabbitmq: RabbitMQ) -> Cloud[Heat]:
    return Cloud(Heat, environment("heat", PACKAGES), tmp_path, rabbitmq)


def work(heat: Heat, name: str = "stack") -> str:
    """Build a stack and delete it, in one trace; return the trace's base id."""
    base_id = str(uuid.uuid4())
    heat.delete(heat.build(name, **trace_headers(base_id)), **trace_headers(base_id))
    return base_id


def test_every_call_is_counted_as_oslo_metrics_counts_it(
    cloud: Cloud[Heat], result: Result
) -> None:
    on = {"trace_rpc": True, "trace_wsgi": True, "compiled_profiler": True}
    with cloud.run(profiler=on) as (heat, measured):
        assert measured.processes(heat) == set()
        tree = measured.tree(work(heat))
        assert measured.processes(heat) == {"heat-api", "heat-engine"}
        heat.stop()
    assert ours_in(heat.logs()) == []
    assert tree.parents("wsgi") == {"trace": 2}
    assert tree.parents("rpc")["rpc"] > 2  # also those between the workers of the engine
    result.add("Heat", "calls and casts, against datagrams", counted.compare(measured))
    result.add_label_sets("a stack is built and deleted", measured.samples)


def test_the_tree_is_that_of_osprofilers_own_driver(
    cloud: Cloud[Heat], redis: Redis, result: Result
) -> None:
    storage = f"{redis.url}/1"
    with cloud.run(storage, profiler={"trace_rpc": True}) as (heat, _):
        base_id = work(heat)
        heat.stop()
        theirs = {"stack": tree_of(storage, base_id)}
    with cloud.run(profiler={"trace_rpc": True}) as (heat, measured):
        base_id = work(heat)
        heat.stop()
        measured.settle()
        ours = {"stack": measured.tree(base_id)}
    result.add("Heat", "spans of a stack, `redis://` and `shm://`", trees.compare(theirs, ours))


def test_workers_are_killed_reloaded_and_stopped(cloud: Cloud[Heat]) -> None:
    with cloud.run() as (heat, measured):
        work(heat, "before")
        heat.kill_workers("heat-engine")
        work(heat, "killed")
        heat.reload("heat-engine")
        work(heat, "reloaded")
        assert set(heat.stop().values()) == {0}
    assert ours_in(heat.logs()) == []
    # A start of the engine is a new UUID as `server`: that is no label value.
    servers = {
        dict(labels)["server"]
        for labels in measured.samples.counted("oslo_messaging_rpc_server_invocation_start_total")
        if dict(labels)["topic"] == "engine_worker"
    }
    assert len(servers) == 1
