# SPDX-License-Identifier: Apache-2.0
"""The socket: its file, its mode, its owner, and the real sender at its other end."""

import asyncio
import os
import socket
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from shmetrics.errors import ShmetricsError
from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER
from shmetrics.sources.oslo_metrics import Listener
from shmetrics.sources.oslo_metrics.listener import MAX_DATAGRAM_BYTES
from shmetrics.unix_socket import Access
from tests.servers.patience import async_until
from tests.servers.processes import fork

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
    from oslo_messaging import Target
    from oslo_messaging._metrics import client as stock

DEADLINE_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "metrics.sock")


@pytest.fixture
def listen(path: str) -> Iterator[Callable[..., Listener]]:
    opened = []

    def open_listener(take: Callable[[bytes, bool, int], None], mode: int = 0o660) -> Listener:
        opened.append(Listener(path, Access(mode), take))
        return opened[-1]

    yield open_listener
    while opened:
        opened.pop().close()


def ignore(datagram: bytes, cut_short: bool, pid: int) -> None:
    pass


def send(path: str, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(path)
        for datagram in datagrams:
            sender.send(datagram)


async def until(done: Callable[[], bool]) -> None:
    await async_until(done, lambda: "it did not happen in time", DEADLINE_S)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_file_has_its_mode(listen: Any, path: str, mode: int) -> None:
    listen(ignore, mode)
    assert stat.S_IMODE(os.stat(path).st_mode) == mode


def test_the_file_goes_with_the_listener(listen: Any, path: str) -> None:
    listen(ignore).close()
    assert not os.path.exists(path)


def test_a_successors_file_stays(listen: Any, path: str) -> None:
    first = listen(ignore)
    os.unlink(path)
    listen(ignore)
    first.close()
    assert os.path.exists(path)


def test_what_was_sent_before_the_end_is_taken(listen: Any, path: str) -> None:
    taken: list[bytes] = []
    listener = listen(lambda datagram, cut_short, pid: taken.append(datagram))
    send(path, b"a", b"b")
    listener.close()
    assert taken == [b"a", b"b"]


def test_a_dead_daemons_file_is_replaced(listen: Any, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(path)
    taken: list[bytes] = []
    listener = listen(lambda datagram, cut_short, pid: taken.append(datagram))
    send(path, b"x")
    listener.read_batch()
    assert taken == [b"x"]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_living_daemon_keeps_its_socket(listen: Any, path: str, kind: int) -> None:
    with socket.socket(socket.AF_UNIX, kind) as alive:
        alive.bind(path)
        if kind == socket.SOCK_STREAM:
            alive.listen()
        with pytest.raises(ShmetricsError, match=f"^{path}: another process listens there"):
            listen(ignore)
        assert os.path.exists(path)


def test_another_file_is_left_alone(listen: Any, path: str) -> None:
    Path(path).write_text("precious")
    with pytest.raises(ShmetricsError, match=f"^{path}: this exists and is not a socket"):
        listen(ignore)
    assert Path(path).read_text() == "precious"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "metrics.sock")
    with pytest.raises(ShmetricsError, match=f"^{path}: No such file or directory$"):
        Listener(path, Access(0o660), ignore)


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(ShmetricsError, match=r"x: AF_UNIX path too long$"):
        Listener(str(tmp_path / ("x" * 120)), Access(0o660), ignore)


def test_a_long_datagram_is_marked(listen: Any, path: str) -> None:
    taken: list[tuple[int, bool]] = []
    listener = listen(lambda datagram, cut_short, pid: taken.append((len(datagram), cut_short)))
    send(path, b"x" * MAX_DATAGRAM_BYTES, b"x" * (MAX_DATAGRAM_BYTES + 1))
    listener.read_batch()
    assert taken == [(MAX_DATAGRAM_BYTES, False), (MAX_DATAGRAM_BYTES, True)]


def test_the_kernel_says_who_has_sent_a_datagram(listen: Any, path: str) -> None:
    taken: list[int] = []
    listener = listen(lambda datagram, cut_short, pid: taken.append(pid))
    send(path, b"x")
    child = fork()
    if child == 0:
        send(path, b"x")
        os._exit(0)
    os.waitpid(child, 0)
    listener.read_batch()
    assert taken == [os.getpid(), child]


def test_descriptors_beside_a_datagram_go_nowhere(listen: Any, path: str) -> None:
    taken: list[int] = []
    listener = listen(lambda datagram, cut_short, pid: taken.append(pid))
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(path)
        socket.send_fds(sender, [b"x"], [0] * 10)
    listener.read_batch()
    assert taken == [os.getpid()]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_flood_leaves_the_loop_its_time(listen: Any, path: str) -> None:
    """Check that the loop runs other tasks between two batches of datagrams."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        taken = 0
        flooding = True

        def take(datagram: bytes, cut_short: bool, pid: int) -> None:
            nonlocal taken
            taken += 1
            if flooding and taken < 5000:  # for each one that is read, another one comes
                sender.send(datagram)

        async def flooded() -> int:
            listener = listen(take)
            sender.connect(path)
            sender.send(b"x")
            listener.start(asyncio.get_running_loop())
            await until(lambda: taken > 0)
            before = taken
            for _ in range(10):
                await asyncio.sleep(0)
            return taken - before

        assert 0 < asyncio.run(flooded()) < 1000
        flooding = False


def oslo_conf(path: str) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf.register_opts(stock.oslo_messaging_metrics, group="oslo_messaging_metrics")
    conf([])
    for name, value in {
        "metrics_enabled": True,
        "metrics_socket_file": path,
        "metrics_process_name": "nova-compute",
        "metrics_thread_stop_timeout": 1,
    }.items():
        conf.set_override(name, value, group="oslo_messaging_metrics")
    return conf


def test_the_real_sender(
    listen: Any, tables: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check oslo.messaging's own client: every label and every number of it arrives."""
    monkeypatch.setattr(stock, "METRICS_COLLECTOR", None)
    conf = oslo_conf(path)
    build = Target(exchange="nova", topic="compute", namespace="ns", version="5.0", server="host-1")
    spread = Target(exchange="neutron", topic="l3", version="1.1", fanout=True)

    def call() -> None:
        for _ in range(3):
            with stock.measure_metrics(conf, build, "build", "call"):
                pass
        with pytest.raises(LookupError), stock.measure_metrics(conf, build, "build", "call"):
            raise LookupError
        with stock.measure_metrics(conf, spread, "update", "cast"):
            pass
        sender = stock.get_collector(conf)
        target = Target(exchange="cinder", topic="volume", server="host-2")
        sender.rpc_server_invocation_start_total(target, "VolumeManager", "ns2", "3.0", "create")
        sender.rpc_server_processing_seconds(target, "VolumeManager", "ns2", "3.0", "create", 0.5)
        sender.rpc_server_exception_total(target, "VolumeManager", "ns2", "3.0", "create", "Full")
        sender.rpc_server_invocation_end_total(target, "VolumeManager", "ns2", "3.0", "create")

    async def serve() -> None:
        listen(tables.receiver.take).start(asyncio.get_running_loop())
        await asyncio.to_thread(call)

        def are_taken() -> bool:
            tables.receiver.settle(is_last=True)
            n_datagrams: int = tables.datagrams.total()
            return n_datagrams == 4 * 3 - 1 + 3 + 4

        await until(are_taken)
        await asyncio.to_thread(stock.get_collector(conf).send_thread.join)

    asyncio.run(serve())
    assert tables.datagrams == {"taken": 18}
    common = {"process": "nova-compute", "call_type": "call"}
    built = {"exchange": "nova", "topic": "compute", "namespace": "ns", "version": "5.0",
             "server": "host-1", "method": "build", **common}  # fmt: skip
    updated = {"exchange": "neutron", "topic": "l3", "version": "1.1", "fanout": "True",
               "method": "update", **common, "call_type": "cast"}  # fmt: skip
    (first, cells), (second, more) = tables.shown(RPC_CLIENT.name)
    assert (first, cells[:2], sum(cells[3:])) == (built, [4, 3], 3)
    assert (second, more[:2], sum(more[3:])) == (updated, [1, 1], 1)
    assert tables.exceptions(RPC_CLIENT.name) == [({**built, "exception": "LookupError"}, 1.0)]
    served = {"exchange": "cinder", "topic": "volume", "server": "host-2", "namespace": "ns2",
              "endpoint": "VolumeManager", "version": "3.0", "method": "create",
              "process": "nova-compute"}  # fmt: skip
    assert tables.shown(RPC_SERVER.name) == [(served, [1, 1, 500_000_000, 0, 0, 1, 0])]
    assert tables.exceptions(RPC_SERVER.name) == [({**served, "exception": "Full"}, 1.0)]
