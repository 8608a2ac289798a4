# SPDX-License-Identifier: Apache-2.0
"""A private RabbitMQ node: own ports, name, data, cookie and epmd; one per test session.

What it takes to be private, and fast:

- the programs in ``/usr/lib/rabbitmq/bin``: those in ``/usr/sbin`` change the user and drop the
  environment, which is how everything below is said;
- the node is ``…@localhost``, so that the machine's name and DNS do not matter, and ``ERL_INETRC``
  tells Erlang to look into files only;
- its own epmd, started by us: the one that a node would start stays behind;
- no plugins, one scheduler that does not spin.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess

__all__ = ["RabbitMQ", "lacking", "rabbitmq"]

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_EPMD = Path("/usr/bin/epmd")
_START_SECONDS = 90


class RabbitMQ:
    """A running node with all it owns under *folder*."""

    def __init__(self, folder: Path) -> None:
        self._ports = [ReservedPort() for _ in range(3)]
        amqp, distribution, epmd = (port.number for port in self._ports)
        self.url = f"rabbit://guest:guest@127.0.0.1:{amqp}/"
        env = _environment(folder, amqp, distribution, epmd)
        self._epmd = ServerProcess(
            [str(_EPMD), "-port", str(epmd), "-address", "127.0.0.1"], folder / "epmd.log", env
        )
        self._epmd.ready_when(lambda: _connects(epmd), 10)
        self._node = ServerProcess([str(_SERVER)], folder / "node.log", env)
        try:
            self._node.ready_when(lambda: _speaks_amqp(amqp), _START_SECONDS)
        except AssertionError:
            self._epmd.stop()
            raise

    def stop(self) -> None:
        self._node.stop()
        self._epmd.stop()
        for port in self._ports:
            port.release()


def lacking() -> str:
    """Return the reason why no node can start on this machine; "" if it can."""
    missing = [path for path in (_SERVER, _EPMD) if not path.exists()]
    return f"RabbitMQ is not installed: no {missing[0]}" if missing else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those who need the node first, one behind the other.

    Workers of pytest-xdist share tests out by the row: so most of them start no node.
    """
    items.sort(key=lambda item: "rabbitmq" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Yield a private node; its `url` is an oslo.messaging transport URL. Skip without the
    binary."""
    if lacking():
        pytest.skip(lacking())
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    yield node
    node.stop()


def _environment(folder: Path, amqp: int, distribution: int, epmd: int) -> dict[str, str]:
    """Return the node's environment; write the files that it names."""
    home = folder / "home"  # the Erlang cookie goes there
    home.mkdir(mode=0o700)
    files = {
        "inetrc": '{lookup,[file]}.\n{hosts_file,""}.\n{resolv_conf,""}.\n'
        '{host,{127,0,0,1},["localhost"]}.\n',
        "enabled_plugins": "[].\n",
        "rabbitmq.conf": "disk_free_limit.absolute = 50MB\n"
        "vm_memory_high_watermark.absolute = 512MB\nloopback_users = none\n",
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd),
        "ERL_INETRC": str(folder / "inetrc"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),  # and not the one in /etc
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": f"shmetrics{amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
        " +S 1:1 +sbwt none",
        "RUNNING_UNDER_SYSTEMD": "yes",  # the script becomes the node, so the pid is the node's
    }


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _speaks_amqp(port: int) -> bool:
    """Tell whether a protocol header is answered with a method frame, as a broker does."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as broker:
            broker.settimeout(5)
            broker.sendall(b"AMQP\0\0\x09\x01")
            return broker.recv(1) == b"\x01"
    except OSError:
        return False
