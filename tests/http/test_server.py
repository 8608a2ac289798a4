# SPDX-License-Identifier: Apache-2.0
"""The server binds, knows its URL, leaves signals alone, and stops when it is told to."""

import asyncio
import signal
import socket
from typing import Any

import pytest

from shmetrics.config.address import Address
from shmetrics.errors import ShmetricsError
from shmetrics.http.server import Server
from shmetrics.tables.table import Series, Table
from shmetrics.web.app import make_app


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_port_0_is_any_free_port(site: Any) -> None:
    assert site.server.url.startswith("http://127.0.0.1:")
    assert not site.server.url.endswith(":0")
    assert site.ask("/-/healthy").status == 200


@pytest.mark.parametrize("host", ["", "0.0.0.0", "localhost"])
def test_every_interface_is_reached_through_loopback(run: Any, source: Any, host: str) -> None:
    running = run(source, Address(host, 0))
    assert running.server.url.startswith("http://127.0.0.1:")
    assert running.ask("/-/ready").status == 200


def test_ipv6(run: Any, source: Any) -> None:
    if not has_ipv6():
        with pytest.raises(ShmetricsError, match=r"^\[::1\]:0: "):
            run(source, Address("::1", 0))
        return
    running = run(source, Address("::1", 0))
    assert running.server.url.startswith("http://[::1]:")
    assert running.ask("/-/ready").status == 200


def test_an_address_in_use(source: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ShmetricsError) as caught:
            Server(make_app(source, {}), Address("127.0.0.1", port))
    assert str(caught.value) == (
        f"127.0.0.1:{port}: address already in use; choose another address with --listen"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours(source: Any, host: str) -> None:
    with pytest.raises(ShmetricsError, match=f"^{host}:9464: .*; choose another address") as caught:
        Server(make_app(source, {}), Address(host, 9464))
    assert "\n" not in str(caught.value)


def test_signals_are_left_alone(source: Any) -> None:
    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    async def serve() -> None:
        before = handlers()
        server = Server(make_app(source, {}), Address("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve())
        reader, writer = await asyncio.open_connection(*server.url[7:].split(":"))
        writer.write(b"GET /-/ready HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()
        assert handlers() == before
        server.stop()
        await serving
        assert handlers() == before

    asyncio.run(serve())


def test_a_client_that_never_asks_does_not_hold_it_up(run: Any, source: Any) -> None:
    running = run(source)
    host, port = running.server.url[7:].split(":")
    with socket.create_connection((host, int(port))) as idle:
        idle.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert running.ask("/-/ready").status == 200
        running.server.stop()
        running._thread.join(20)
        assert not running._thread.is_alive()


def test_a_client_that_never_reads_does_not_hold_it_up(run: Any, source: Any) -> None:
    source.the_tables = [Table("big", "gauge", "x" * 50_000_000, Series(()))]
    running = run(source)
    host, port = running.server.url[7:].split(":")
    with socket.create_connection((host, int(port))) as stuck:
        stuck.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        assert stuck.recv(15) == b"HTTP/1.1 200 OK"
        running.server.stop()
        running._thread.join(30)
        assert not running._thread.is_alive()


def test_it_can_be_closed_before_it_served(source: Any) -> None:
    server = Server(make_app(source, {}), Address("127.0.0.1", 0))
    host, port = server.url[7:].split(":")
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
