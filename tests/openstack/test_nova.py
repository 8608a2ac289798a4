# SPDX-License-Identifier: Apache-2.0
"""Nova with two compute nodes: what it calls and serves, counted twice, and its traces."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

from tests.openstack import counted
from tests.openstack.environments import Environment, environment
from tests.openstack.logs import errors_in, loggers_of, ours_in
from tests.openstack.nova import FOLLOWING, PACKAGES, Nova
from tests.openstack.result import Result
from tests.openstack.telemetry import Telemetry, telemetry, trace_headers
from tests.openstack.trees import tree_of
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

HOSTS: Final = ("node-1", "node-2")
PREFIX: Final = "shmetrics+"


class Cloud:
    """A Nova's environment, folder and databases, in which it can be started several times."""

    def __init__(self, environment: Environment, folder: Path, rabbitmq: RabbitMQ) -> None:
        self._environment = environment
        self._folder = folder
        self.transport_url = rabbitmq.url

    @contextmanager
    def nova(
        self,
        backend: str,
        prefix: str = PREFIX,
        connection_string: str = "shm://",
        cell_url: str = FOLLOWING,
        variables: Mapping[str, str] = MappingProxyType({}),
        **profiler: Any,
    ) -> Iterator[tuple[Nova, Telemetry]]:
        """Run a Nova until the block ends."""
        for log in self._folder.glob("*.log"):
            log.unlink()
        with telemetry(self._folder) as measured:
            options = dict(measured.options(prefix + self.transport_url, connection_string))
            options["profiler"] = {**options["profiler"], **profiler}
            nova = Nova(
                self._environment, self._folder, {**measured.variables, **variables}, options,
                backend=backend, cell_url=cell_url,
            )  # fmt: skip
            try:
                nova.start_all(HOSTS)
                nova.make_flavor()
                nova.wait_for_computes(len(HOSTS))
                yield nova, measured
            finally:
                nova.close()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMQ) -> Cloud:
    folder = tmp_path_factory.mktemp("nova")
    return Cloud(environment("nova", PACKAGES), folder, rabbitmq)


def work(nova: Nova) -> dict[str, str]:
    """Build a server and do something with it; return the base id of each action's trace."""
    ids = {action: str(uuid.uuid4()) for action in ("build", "look", "reboot", "stop", "delete")}
    headers = {action: trace_headers(id) for action, id in ids.items()}
    server = nova.build("traced", **headers["build"])
    nova.act(server, {"os-getConsoleOutput": {}}, **headers["look"])
    nova.act(server, {"reboot": {"type": "SOFT"}}, **headers["reboot"])
    nova.until_status(server, "ACTIVE")
    nova.act(server, {"os-stop": None}, **headers["stop"])
    nova.until_status(server, "SHUTOFF")
    nova.delete(server, **headers["delete"])
    return ids


@pytest.mark.parametrize("backend", ["threading", "eventlet"])
def test_every_call_is_counted_as_oslo_metrics_counts_it(
    cloud: Cloud, backend: str, result: Result
) -> None:
    with cloud.nova(backend) as (nova, measured):
        work(nova)
        nova.stop()
    assert ours_in(nova.logs()) == []
    result.add(f"Nova, {backend}", "by the URL, against datagrams", counted.compare(measured))
    result.add_label_sets(f"Nova, {backend}", measured.samples)


def test_without_the_prefix_the_environment_counts_the_same(cloud: Cloud, result: Result) -> None:
    """The URLs stay as they are, also that of the cell; both ways at once count once."""
    switched = {"SHMETRICS_OSLO_MESSAGING": "1"}
    plain = cloud.transport_url
    with cloud.nova("threading", "", cell_url=plain, variables=switched) as (nova, measured):
        work(nova)
        nova.stop()
    assert ours_in(nova.logs()) == []
    result.add(
        "Nova, threading", "by the environment, against datagrams", counted.compare(measured)
    )


def test_the_tree_is_that_of_osprofilers_own_driver(
    cloud: Cloud, redis: Redis, result: Result
) -> None:
    """Compare the traces of the same requests, and the logs with those of a Nova without us.

    Both have `trace_rpc`. Without it OSProfiler keeps the first trace of each thread that serves.
    """
    storage = f"{redis.url}/1"
    with cloud.nova("threading", connection_string=storage, trace_rpc=True) as (nova, _):
        nova.delete(nova.build("untraced"))  # what is done once only is done
        ids = work(nova)
        nova.stop()
        theirs = {action: tree_of(storage, id) for action, id in ids.items()}
    with cloud.nova("threading", trace_rpc=True) as (nova, measured):
        nova.delete(nova.build("untraced"))
        ids = work(nova)
        nova.stop()
        measured.settle()
        ours = {action: measured.tree(id) for action, id in ids.items()}
    for action, tree in ours.items():
        assert tree.edges() == theirs[action].edges(), action
        assert {"wsgi", "rpc"} <= tree.names().keys()
        spans = f"{tree.names().total()} and {theirs[action].names().total()} spans"
        result.add("Nova, threading", f"{action}: `shm://` and `redis://`", spans)
    for action in ("look", "reboot", "stop"):  # the others ask until something is done
        assert str(ours[action]) == str(theirs[action]), action


def test_logs_are_those_of_a_nova_without_us(cloud: Cloud) -> None:
    logs = []
    for prefix in ("", PREFIX):
        with cloud.nova("threading", prefix, "") as (nova, _):
            work(nova)
            nova.stop()
        logs.append(nova.logs())
    plain, measured = logs
    assert ours_in(measured) == []
    assert loggers_of(errors_in(measured)) <= loggers_of(errors_in(plain))


def test_killed_reloaded_and_stopped_it_works_on(cloud: Cloud) -> None:
    with cloud.nova("threading") as (nova, measured):
        work(nova)
        nova.kill_workers("nova-conductor")
        work(nova)
        nova.signal("nova-compute-node-2", signal.SIGKILL)
        assert nova.stop("nova-compute-node-2") == {"nova-compute-node-2": -signal.SIGKILL}
        nova.start_compute("node-2")
        work(nova)
        nova.reload("nova-scheduler")
        work(nova)
        assert set(nova.stop().values()) == {0}
    assert ours_in(nova.logs()) == []
    served = counted.servers_of(measured.samples, "invocation_start_total")
    assert served["compute", "", "build_and_run_instance"] == 4
