# SPDX-License-Identifier: Apache-2.0
"""Both ways to switch on: the URL and the environment. The same figures, and no harm to others."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from pathlib import Path
from typing import Any

import oslo_messaging
import pytest
from oslo_messaging import Target, transport

from shmetrics.hooks.oslo_messaging import every_transport, failures
from shmetrics.hooks.oslo_messaging.driver import Driver
from tests.servers.rabbitmq import RabbitMQ

from .conftest import Recording

ROOT = Path(__file__).parents[3]
PREFIX = "shmetrics+"


class Compute:
    """An endpoint of an RPC server, and one of a listener."""

    def build(self, ctxt: Any, name: str = "") -> str:
        return name

    def fail(self, ctxt: Any) -> None:
        raise ValueError("not so")

    def info(self, ctxt: Any, publisher: str, event: str, payload: Any, metadata: Any) -> None: ...


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure every transport, as the environment does it, until the end of the test."""
    monkeypatch.setattr(transport.Transport, "__init__", transport.Transport.__init__)
    every_transport.measure()


def end(servers: list[Any]) -> None:
    """Stop servers and listeners together: each waits a second for its broker."""
    for wanted in ("stop", "wait"):
        with ThreadPoolExecutor() as threads:
            list(threads.map(methodcaller(wanted), servers))


Figures = dict[str, list[Any]]


def figures(conf: Any, url: str, recording: Recording) -> Figures:
    """Do some RPC and send notifications, and return what each family has recorded of it."""
    recording.starts.clear()
    recording.ends.clear()
    made = oslo_messaging.get_rpc_transport(conf, url)
    heard = oslo_messaging.get_notification_transport(conf, url)
    server = oslo_messaging.get_rpc_server(made, Target(topic="compute", server="a"), [Compute()])
    listener = oslo_messaging.get_notification_listener(heard, [Target(topic="n")], [Compute()])
    for each in (server, listener):
        each.start()
    client = oslo_messaging.get_rpc_client(made, Target(topic="compute"))
    assert client.call({}, "build", name="x") == "x"
    client.prepare(server="a", timeout=30).call({}, "build")
    client.prepare(fanout=True).cast({}, "build")
    with pytest.raises(ValueError, match="not so"):
        client.call({}, "fail")
    with pytest.raises((oslo_messaging.NoSuchMethod, oslo_messaging.RemoteError)):
        client.call({}, "absent")
    oslo_messaging.Notifier(heard, "p", driver="messagingv2", topics=["n"]).info({}, "e", {})
    wanted = {"rpc_client": 5, "rpc_server": 5, "notification_client": 1, "notification_server": 1}
    found = {family: recording.settled(family, n) for family, n in wanted.items()}
    end([server, listener])
    for each in (made, heard):
        each.cleanup()
    return {family: sorted(ends, key=str) for family, ends in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["fake://", "kombu+memory://"])
def test_both_ways_give_the_same_figures(
    conf: Any, recording: Recording, scheme: str, request: pytest.FixtureRequest
) -> None:
    by_url = figures(conf, f"{PREFIX}{scheme}", recording)
    request.getfixturevalue("switched_on")
    assert figures(conf, scheme, recording) == by_url


@pytest.mark.usefixtures("recording", "switched_on")
def test_a_driver_is_measured_once(conf: Any) -> None:
    for url in ("fake://", f"{PREFIX}fake://", f"{PREFIX}{PREFIX}fake://"):
        made = oslo_messaging.get_rpc_transport(conf, url)
        assert type(made._driver) is Driver
        assert type(made._driver._shm_real) is not Driver
        made.cleanup()


@pytest.mark.usefixtures("recording")
def test_off_by_default(conf: Any) -> None:
    made = oslo_messaging.get_rpc_transport(conf, "fake://")
    assert type(made._driver) is not Driver
    made.cleanup()


@pytest.mark.usefixtures("switched_on")
def test_a_driver_of_another_kind_works_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "count", failures.count.copy())

    class Odd:
        conf = None

    odd = Odd()
    assert transport.RPCTransport(odd)._driver is odd
    assert failures.count["AttributeError"] == 1


STARTED = """
import site, sys, warnings
warnings.simplefilter("ignore")
site.addsitedir(sys.argv[1])
import oslo_messaging
print("every_transport" in str(oslo_messaging.transport.Transport.__init__.__code__))
print("shmetrics.hooks.oslo_messaging" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("value", "is_on"), [("1", True), ("", False)])
def test_the_environment_of_a_python_that_starts(value: str, is_on: bool) -> None:
    """Check what is beside the installed package, with the real import of the library."""
    ran = subprocess.run(
        [sys.executable, "-c", STARTED, str(ROOT)],
        env={**os.environ, "SHMETRICS_OSLO_MESSAGING": value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.split() == [str(is_on)] * 2, ran.stderr


# A node that has no shmetrics, neither its modules nor its entry points. Python starts with -S.
WITHOUT = """
import sys, warnings
warnings.simplefilter("ignore")
packages, url = sys.argv[1:]
sys.path.append(packages)
import oslo_messaging
from oslo_config import cfg
from oslo_messaging import Target

cfg.CONF([], project="nova", default_config_files=[])
try:
    oslo_messaging.get_rpc_transport(cfg.CONF, "shmetrics+" + url)
except oslo_messaging.DriverLoadFailure:
    pass  # what a prefixed URL that is stored for all nodes would do here
else:
    raise AssertionError("shmetrics is here")
transport = oslo_messaging.get_rpc_transport(cfg.CONF, url)
client = oslo_messaging.get_rpc_client(transport, Target(topic="nodes"), timeout=60)


class Node:
    def build(self, ctxt, name):
        return "without: " + name

    def ask(self, ctxt, servers):
        return [client.prepare(server=server).call({}, "build", name="x") for server in servers]


server = oslo_messaging.get_rpc_server(
    transport, Target(topic="nodes", server="without"), [Node()], executor="threading"
)
server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop()
server.wait()
transport.cleanup()
"""


class Node:
    """The endpoint of a node that has shmetrics."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_refreshed = threading.Event()

    def build(self, ctxt: Any, name: str) -> str:
        return f"{self._name}: {name}"

    def refresh(self, ctxt: Any) -> None:
        self.is_refreshed.set()


@pytest.fixture
def without(rabbitmq: RabbitMQ, tmp_path: Path) -> Iterator[None]:
    """Run a node that has no shmetrics."""
    for package in Path(oslo_messaging.__file__).parents[1].iterdir():
        if "shmetrics" not in package.name:
            (tmp_path / package.name).symlink_to(package)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WITHOUT, str(tmp_path), rabbitmq.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.communicate()
    assert process.returncode == 0


@pytest.fixture
def start(conf: Any) -> Iterator[Callable[[str, str], tuple[Any, Node]]]:
    """Yield `start(name, url)`, which starts a node here; it returns a client of it, and it."""
    running: list[tuple[Any, Any]] = []

    def start(name: str, url: str) -> tuple[Any, Node]:
        node, made = Node(name), oslo_messaging.get_rpc_transport(conf, url)
        server = oslo_messaging.get_rpc_server(made, Target(topic="nodes", server=name), [node])
        server.start()
        running.append((server, made))
        return oslo_messaging.get_rpc_client(made, Target(topic="nodes"), timeout=60), node

    yield start
    end([server for server, _ in running])
    for _, made in running:
        made.cleanup()


@pytest.mark.slow
@pytest.mark.usefixtures("without", "recording")
def test_one_node_of_three_harms_no_other(
    conf: Any,
    rabbitmq: RabbitMQ,
    start: Callable[[str, str], tuple[Any, Node]],
    request: pytest.FixtureRequest,
    recording: Recording,
) -> None:
    """Check a node by its URL, one by its environment, and one that knows nothing of shmetrics."""
    by_url, first = start("by-url", f"{PREFIX}{rabbitmq.url}")
    request.getfixturevalue("switched_on")
    by_environment, second = start("by-environment", rabbitmq.url)
    names = ["by-url", "by-environment", "without"]
    answers = [f"{name}: x" for name in names]
    for client in (by_url, by_environment):
        asked = [client.prepare(server=name).call({}, "build", name="x") for name in names]
        assert asked == answers
        asked = client.prepare(server="without").call({}, "ask", servers=names[:2])
        assert asked == answers[:2]
    by_url.prepare(fanout=True).cast({}, "refresh")
    assert first.is_refreshed.wait(30)
    assert second.is_refreshed.wait(30)
    counted = [labels["server"] for labels, _ in recording.settled("rpc_server", 4 + 4 + 2)]
    assert sorted(counted) == ["by-environment"] * 5 + ["by-url"] * 5
    # A service that writes down its own URL, as nova-manage does for a cell, writes it plain.
    conf.set_override("transport_url", rabbitmq.url)
    assert str(oslo_messaging.TransportURL.parse(conf)).startswith("rabbit://")
