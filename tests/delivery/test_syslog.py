# SPDX-License-Identifier: Apache-2.0
"""Delivery to a real rsyslog: each way there, and what becomes of lines while it is away."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from shmetrics.config.client_tls import client_context
from shmetrics.config.lines_destination import LinesDestination
from shmetrics.delivery.deliveries import Deliveries
from shmetrics.delivery.rfc5424 import Header
from shmetrics.delivery.stream import StreamSyslog, stream_to
from shmetrics.delivery.syslog import DatagramSyslog, UnixSyslog
from shmetrics.errors import ConfigError
from shmetrics.forwarding.sender import Outcome, TryAgain
from tests.delivery.conftest import GEAR, SECONDS, TIME_NS, line, message, wanted
from tests.http.authority import Authority
from tests.servers.ports import ReservedPort
from tests.servers.processes import until
from tests.servers.rsyslog import Rsyslog, lacking, lines_of

needs_rsyslog = pytest.mark.skipif(bool(lacking()), reason=lacking())
HEADER = Header(1, "node")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a short path, for sockets."""
    found = Path(tempfile.mkdtemp(prefix="shm-"))
    yield found
    rmtree(found)


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


def written(folder: Path) -> str:
    """Return the action that writes what comes to the file `out`."""
    return f'\naction(type="omfile" file="{folder}/out" template="parts")\n'


def listens(folder: Path, scheme: str, port: int) -> str:
    """Return the input for a scheme."""
    if scheme == "syslog":
        own_time = 'UseSysTimeStamp="off" IgnoreTimestamp="off"'
        return f'input(type="imuxsock" Socket="{folder}/s" UseSpecialParser="off" {own_time})'
    if scheme == "syslog+udp":
        return f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{port}")'
    tls = ' StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid"'
    files = (
        f'global(defaultNetstreamDriverCAFile="{folder}/ca.crt" '
        f'defaultNetstreamDriverCertFile="{folder}/server.crt" '
        f'defaultNetstreamDriverKeyFile="{folder}/server.key")\n'
    )
    is_tls = scheme == "syslog+tls"
    return (
        f'{files if is_tls else ""}module(load="imtcp"{tls if is_tls else ""})\n'
        f'input(type="imtcp" address="127.0.0.1" port="{port}")'
    )


def started(folder: Path, scheme: str, port: int) -> Rsyslog:
    ready = folder / "s" if scheme == "syslog" else None
    server = Rsyslog(folder, listens(folder, scheme, port) + written(folder), ready)
    if scheme == "syslog+udp":  # what comes before it listens is lost
        bound = f":{port:04X} "
        until(lambda: bound in Path("/proc/net/udp").read_text(), lambda: "not bound", SECONDS)
    return server


def address(folder: Path, scheme: str, port: int) -> str:
    return f"{scheme}://{folder}/s" if scheme == "syslog" else f"{scheme}://127.0.0.1:{port}"


@needs_rsyslog
@pytest.mark.parametrize("scheme", ["syslog", "syslog+udp", "syslog+tcp", "syslog+tls"])
def test_a_line_arrives_as_rfc_5424_has_it(folder: Path, port: int, scheme: str) -> None:
    certificates = {}
    if scheme == "syslog+tls":
        authority = Authority(folder)
        authority.certify("server")
        cert, key = authority.certify("client")
        certificates = {
            "ca_file": str(authority.file),
            "cert_file": str(cert),
            "key_file": str(key),
        }
    server = started(folder, scheme, port)
    to = wanted(to=address(folder, scheme, port), facility="local3", **certificates)
    deliveries = Deliveries([to], hostname="node-1")
    try:
        deliveries.put(GEAR, line("thread.count=5 thread.active=2"), TIME_NS)
        deliveries.put(GEAR, line(" ".join(f"m{n}=1" for n in range(100))), TIME_NS)
        first, second = map(json.loads, lines_of(folder / "out", 2)[:2])
        first["time"] = first["time"].replace("+00:00", "Z")  # the inputs write one or the other
        assert first == {
            "pri": str((16 + 3) * 8 + 6),
            "time": "2020-09-13T12:26:40.123456Z",
            "host": "node-1",
            "app": "shmetrics",
            "procid": "-",
            "msgid": "metric",
            "text": "type=metric appName=A gear=5f app=U ns=N thread.count=5 thread.active=2",
        }
        assert second["text"].endswith(" m99=1")
        until(lambda: deliveries.reports()[0].sent == 2, lambda: str(deliveries.reports()), SECONDS)
        assert deliveries.reports() == [(to.to, 2, 0, {})]
    finally:
        deliveries.close()
        server.stop()


@needs_rsyslog
@pytest.mark.parametrize("scheme", ["syslog", "syslog+tcp"])
def test_lines_wait_for_a_daemon_that_is_away(folder: Path, port: int, scheme: str) -> None:
    """Check that all arrive, in order, which were put while it was stopped."""
    server = started(folder, scheme, port)
    deliveries = Deliveries([wanted(to=address(folder, scheme, port))])
    try:
        deliveries.put(GEAR, line("n=0"), TIME_NS)
        lines_of(folder / "out", 1)
        server.stop()
        for number in range(1, 6):
            deliveries.put(GEAR, line(f"n={number}"), TIME_NS)
        until(lambda: deliveries.reports()[0].retries, lambda: str(deliveries.reports()), SECONDS)
        server = started(folder, scheme, port)
        found = [json.loads(one)["text"].split(" ")[-1] for one in lines_of(folder / "out", 6)]
        assert found == [f"n={number}" for number in range(6)]
    finally:
        deliveries.close()
        server.stop()


@needs_rsyslog
def test_a_hostile_unit_writes_one_message(folder: Path) -> None:
    server = started(folder, "syslog", 0)
    deliveries = Deliveries([wanted(to=address(folder, "syslog", 0))])
    try:
        deliveries.put(GEAR._replace(unit="u\n<13>x", known={}), line("a=1"))
        deliveries.put(GEAR, line("last=1"))
        found = [json.loads(one)["text"] for one in lines_of(folder / "out", 2)]
        assert [text.split(" ")[-1] for text in found] == ["a=1", "last=1"]
    finally:
        deliveries.close()
        server.stop()


# ---- without a daemon ---------------------------------------------------------------------------


def test_a_certificate_of_another_is_refused(folder: Path) -> None:
    authority = Authority(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certify("server", "other.example"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):  # the client refuses it, as it should
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        to = f"syslog+tls://127.0.0.1:{listening.getsockname()[1]}"
        deliveries = Deliveries([wanted(to=to, ca_file=str(authority.file))])
        deliveries.put(GEAR, line("a=1"))
        until(lambda: deliveries.reports()[0].retries, lambda: str(deliveries.reports()), SECONDS)
        deliveries.close(0)
        thread.join()
    assert deliveries.reports()[0][1:] == (0, 1, {"stopped": 1})


def test_a_connection_over_tls_is_kept(folder: Path) -> None:
    """Check that it does not count as ended because TLS has read what is none of ours: a ticket."""
    authority = Authority(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certify("server"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)
        found: list[bytes] = []

        def serve() -> None:
            connection, _ = listening.accept()
            with context.wrap_socket(connection, server_side=True) as channel:
                while received := channel.recv(1000):
                    found.append(received)

        thread = threading.Thread(target=serve)
        thread.start()
        to = LinesDestination("syslog+tls", *listening.getsockname())
        tls = client_context(str(authority.file))
        sender = StreamSyslog(stream_to(to, tls), HEADER, timeout_seconds=SECONDS)
        for number in range(3):
            assert sender.send([message(f"a={number}")]) == Outcome()
        sender.close()
        thread.join()
    assert [text[-3:] for text in found] == [b"a=0", b"a=1", b"a=2"]


@pytest.mark.parametrize("option", ["ca_file", "cert_file"])
def test_a_certificate_that_is_none_is_said(tmp_path: Path, option: str) -> None:
    file = tmp_path / "x.pem"
    more = {"key_file": str(file)} if option == "cert_file" else {}
    place = wanted(to="syslog+tls://h", **{option: str(file)}, **more)
    with pytest.raises(ConfigError, match=f"{option}: {file}: No such file"):
        Deliveries([place])
    file.write_text("no certificate")
    with pytest.raises(ConfigError, match=f"{option}: {file}: no certificate in PEM"):
        Deliveries([place])


def stream(listening: socket.socket, seconds: float = 5.0) -> StreamSyslog:
    to = LinesDestination("syslog+tcp", *listening.getsockname())
    return StreamSyslog(stream_to(to, None), HEADER, timeout_seconds=seconds)


def test_what_was_not_acknowledged_is_sent_again() -> None:
    """Check a connection that is ended with lines unread: the kernel says so at the next batch."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)
        sender = stream(listening)
        assert sender.send([message("a=1")]) == Outcome()
        first, _ = listening.accept()
        first.close()
        assert sender.send([message("a=2")]) == Outcome()
        second, _ = listening.accept()
        with second:
            assert second.recv(1000).endswith(b"a=2")
        sender.close()


def test_a_daemon_that_does_not_read_is_left_after_the_time_limit() -> None:
    many = [message("x" * 1000)] * 10_000
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)
        sender = stream(listening, seconds=0.2)
        with pytest.raises(TryAgain, match="timed out"):
            sender.send(many)
    with pytest.raises(TryAgain, match="Connection refused"):
        sender.send(many)
    sender.close()


def test_frames_are_counted_in_octets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)
        sender = stream(listening)
        sender.send([message("a=é"), message("b=2")])
        connection, _ = listening.accept()
        sender.close()
        with connection, connection.makefile("rb") as file:
            text = file.read()
    found = []
    while text:
        length, _, rest = text.partition(b" ")
        found.append(rest[: int(length)].decode().split(" ")[-1])
        text = rest[int(length) :]
    assert found == ["a=é", "b=2"]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_unix_socket_may_be_of_either_kind(folder: Path, kind: int) -> None:
    sender = UnixSyslog(LinesDestination("syslog", path=str(folder / "s")), HEADER, 5.0)
    with pytest.raises(TryAgain, match="No such file"):
        sender.send([message("a=1")])
    with socket.socket(socket.AF_UNIX, kind) as listening:
        listening.settimeout(SECONDS)
        listening.bind(str(folder / "s"))
        if kind == socket.SOCK_STREAM:
            listening.listen()
        assert sender.send([message("a=1"), message("b=2")]) == Outcome()
        if kind == socket.SOCK_DGRAM:
            assert listening.recv(1000).endswith(b" a=1")
        else:
            connection, _ = listening.accept()
            with connection:
                assert connection.recv(1000).split(b"\n")[0].endswith(b" a=1")
    with pytest.raises(TryAgain):
        sender.send([message("c=3")])
    sender.close()


def test_a_full_queue_of_datagrams_is_waited_for_no_longer_than_allowed(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(SECONDS)
        listening.bind(str(folder / "s"))
        sender = DatagramSyslog(LinesDestination("syslog", path=str(folder / "s")), HEADER, 0.05)
        messages = [message(f"n={n}") for n in range(5000)]
        with pytest.raises(TryAgain, match="timed out") as raised:
            sender.send(messages)
        assert raised.value.left
        n_sent = len(messages) - len(raised.value.left)
        assert raised.value.left == messages[n_sent:]
        assert n_sent > 0
        sender.close()


def test_what_no_datagram_holds_fails_alone(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(SECONDS)
        listening.bind(str(folder / "s"))
        sender = DatagramSyslog(LinesDestination("syslog", path=str(folder / "s")), HEADER, 5.0)
        outcome = sender.send([message("a=1"), message("x" * 10_000_000), message("b=2")])
        assert (outcome.failed, outcome.left) == (1, ())
        assert [listening.recv(1000)[-3:] for _ in range(2)] == [b"a=1", b"b=2"]
        sender.close()


@pytest.mark.slow
def test_a_place_that_hangs_delays_no_other_and_no_caller(folder: Path, tmp_path: Path) -> None:
    """Check that lines beyond the memory for them are lost, and counted."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)
        to = f"syslog+tcp://127.0.0.1:{listening.getsockname()[1]}"
        deliveries = Deliveries(
            [
                wanted(to=to, max_waiting_bytes=64 * 1024),
                wanted(to=f"file://{tmp_path}/all.log"),
            ]
        )
        for number in range(30_000):
            deliveries.put(GEAR, line(f"n={number}"))
        until(
            lambda: deliveries.reports()[1].sent == 30_000,
            lambda: str(deliveries.reports()),
            SECONDS,
        )
        deliveries.close(0)
    hung, file = deliveries.reports()
    assert hung.sent + hung.lost.total() == 30_000
    assert hung.lost["queue"] > 0
    assert (file.lost, (tmp_path / "all.log").read_text().count("\n")) == ({}, 30_000)
