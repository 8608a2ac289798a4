# SPDX-License-Identifier: Apache-2.0
"""Nova with two compute nodes: what it calls and serves, counted twice, and its traces."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.openstack import counted, trees
from tests.openstack.deployment import NOTHING
from tests.openstack.environments import Environment, environment, without_us
from tests.openstack.logs import errors_in, loggers_of, ours_in
from tests.openstack.nova import FOLLOWING, IMAGE, LARGER, PACKAGES, Nova
from tests.openstack.result import Result
from tests.openstack.telemetry import Telemetry, telemetry, trace_headers
from tests.openstack.trees import tree_of
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

HOSTS: Final = ("node-1", "node-2")
COMPUTES: Final = tuple(f"nova-compute-{host}" for host in HOSTS)
CONTROL_PLANE: Final = ("nova-api", "nova-conductor", "nova-scheduler")
PREFIX: Final = "shmetrics+"

#: What an operator may do with a server that is active, and the status that it has then.
ACTIONS: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"pause": None}, "PAUSED"),
    ({"unpause": None}, "ACTIVE"),
    ({"suspend": None}, "SUSPENDED"),
    ({"resume": None}, "ACTIVE"),
    ({"rescue": {}}, "RESCUE"),
    ({"unrescue": None}, "ACTIVE"),
    ({"rebuild": {"imageRef": IMAGE}}, "ACTIVE"),
    ({"reboot": {"type": "HARD"}}, "ACTIVE"),
    ({"os-stop": None}, "SHUTOFF"),
    ({"os-start": None}, "ACTIVE"),
    ({"changePassword": {"adminPass": "another"}}, "ACTIVE"),
    ({"resize": {"flavorRef": LARGER}}, "VERIFY_RESIZE"),
    ({"confirmResize": None}, "ACTIVE"),
)


class Cloud:
    """A Nova's environment, folder and databases, in which it can be started several times."""

    def __init__(self, installed: Environment, folder: Path, rabbitmq: RabbitMQ) -> None:
        self.installed = installed
        self._folder = folder
        self.transport_url = rabbitmq.url

    @contextmanager
    def nova(
        self,
        backend: str = "threading",
        prefix: str = PREFIX,
        connection_string: str = "shm://",
        cell_url: str = FOLLOWING,
        variables: Mapping[str, str] = NOTHING,
        installed: Environment | None = None,
        hosts: Sequence[str] = HOSTS,
        notification_format: str = "unversioned",
        **profiler: Any,
    ) -> Iterator[tuple[Nova, Telemetry]]:
        """Run a Nova until the block ends."""
        for log in self._folder.glob("*.log"):
            log.unlink()
        with telemetry(self._folder) as measured:
            options = dict(measured.options(prefix + self.transport_url, connection_string))
            options["profiler"] = {**options["profiler"], **profiler}
            options["notifications"] = {"notification_format": notification_format}
            nova = Nova(
                installed or self.installed, self._folder,
                {**measured.variables, **variables}, options, backend=backend, cell_url=cell_url,
            )  # fmt: skip
            try:
                nova.start_all(hosts)
                nova.make_flavors()
                nova.wait_for_computes(len(hosts))
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
        first = measured.processes(nova)  # computes have called a conductor, and nobody the API
        assert {*COMPUTES, "nova-conductor"} <= first
        assert "nova-api" not in first
        work(nova)
        assert measured.processes(nova) == {*COMPUTES, *CONTROL_PLANE}
        nova.stop()
    assert ours_in(nova.logs()) == []
    found = counted.compare(measured)
    result.add(f"Nova, {backend}", "calls and casts, by the URL, against datagrams", found)
    if backend == "threading":
        result.add_label_sets("a server is built, rebooted, stopped, deleted", measured.samples)


def test_each_kind_of_work_adds_label_sets(cloud: Cloud, result: Result) -> None:
    """Notifications are sent in both formats, which is what costs most places in a lane."""
    with cloud.nova("threading", notification_format="both") as (nova, measured):
        server = nova.build("busy", HOSTS[0])
        for action, status in ACTIONS:
            nova.act(server, action)
            nova.until_status(server, status)
        nova.delete(server)
        nova.stop()
    assert ours_in(nova.logs()) == []
    counted.compare(measured)
    result.add_label_sets("15 kinds of work, notifications in both formats", measured.samples)
    sent = measured.samples.counted("oslo_messaging_rpc_client_invocation_start_total")
    for process in ("nova-api", "nova-conductor"):  # they have one for each node
        sets = [labels for labels in map(dict, sent) if labels["process"] == process]
        assert {labels["server"] for labels in sets if labels["topic"] == "compute"} == {*HOSTS}


def test_without_the_prefix_the_environment_counts_the_same(cloud: Cloud, result: Result) -> None:
    """The URLs stay as they are, also that of the cell; both ways at once count once."""
    switched = {"SHMETRICS_OSLO_MESSAGING": "1"}
    plain = cloud.transport_url
    with cloud.nova("threading", "", cell_url=plain, variables=switched) as (nova, measured):
        work(nova)
        nova.stop()
    assert ours_in(nova.logs()) == []
    what = "calls and casts, by the environment, against datagrams"
    result.add("Nova, threading", what, counted.compare(measured))


def test_one_node_of_three_harms_no_other(tmp_path: Path, rabbitmq: RabbitMQ) -> None:
    """Have a compute node switched on by its URL and one by its environment, and all others without
    shmetrics, also the control plane."""
    cloud = Cloud(environment("nova", PACKAGES), tmp_path, rabbitmq)
    nodes = ("by-url", "by-environment", "without")
    prefixed = {"DEFAULT": {"transport_url": PREFIX + cloud.transport_url}}
    switched = {"SHMETRICS_OSLO_MESSAGING": "1"}
    others = without_us(cloud.installed)
    with cloud.nova(prefix="", connection_string="", installed=others, hosts=["without"]) as (
        nova,
        measured,
    ):
        nova.start_compute("by-url", prefixed, environment=cloud.installed)
        nova.start_compute("by-environment", environment=cloud.installed, variables=switched)
        nova.wait_for_computes(len(nodes))
        for host in nodes:
            server = nova.build("one", host)
            nova.act(server, {"os-getConsoleOutput": {}})
            nova.act(server, {"os-stop": None})
            nova.until_status(server, "SHUTOFF")
            nova.delete(server)
        nova.stop()
    assert ours_in(nova.logs()) == []
    assert "DriverLoadFailure" not in str(nova.logs())
    served = "oslo_messaging_rpc_server_invocation_start_total"
    for method in ("build_and_run_instance", "get_console_output", "terminate_instance"):
        found = {host: measured.samples.sum(served, method=method, server=host) for host in nodes}
        assert found == {"by-url": 1, "by-environment": 1, "without": 0}


def test_the_tree_is_that_of_osprofilers_own_driver(
    cloud: Cloud, redis: Redis, result: Result
) -> None:
    """Compare the traces of the same requests.

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
    for what, actions, exactly in (
        ("a build", ["build"], False),
        ("a look, a reboot and a stop", ["look", "reboot", "stop"], True),
        ("a deletion", ["delete"], False),
    ):
        before, now = ({action: run[action] for action in actions} for run in (theirs, ours))
        found = trees.compare(before, now, exactly)
        result.add("Nova, threading", f"spans of {what}, `redis://` and `shm://`", found)
    assert all({"wsgi", "rpc"} <= tree.names().keys() for tree in ours.values())


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
