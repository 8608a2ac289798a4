# SPDX-License-Identifier: Apache-2.0
"""Scrapes of many megabytes: text made while it is sent, from the numbers of one moment."""

import asyncio
import gzip
import http.client
import logging
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request

from shmetrics.config import Web
from shmetrics.config.address import Address
from shmetrics.http import refusals
from shmetrics.render import formatter, openmetrics, text
from shmetrics.render.row_slice import row_slice
from shmetrics.tables.table import Series, Table
from shmetrics.web.app import _Endpoints
from tests.http.raw import connected, said, soon, tell

LOOPBACK = Address("127.0.0.1", 0)
ASKS = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
CONSTANTS = {"hostname": "node-1"}


def large(rows: int, value: float = 0.0, series: Series | None = None) -> Table:
    """Return a table of about 250 bytes of text per row."""
    if series is None:
        series = Series(("n",), [(f"{number:0200}",) for number in range(rows)])
    return Table("large", "counter", "", series, values=np.full(rows, value))


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_it_is_the_text(site: Any, source: Any, encoding: str, accept: str) -> None:
    source.the_tables = [large(20_000), *(large(1, 7.0),) * 3]
    answer = site.ask("/metrics", accept=accept, accept_encoding=encoding)
    body = gzip.decompress(answer.body) if encoding == "gzip" else answer.body
    render = openmetrics.render if accept else text.render
    assert body == render(source.the_tables, CONSTANTS)
    assert ("content-length" in answer.headers) == (encoding == "gzip")
    ((seconds, size_bytes),) = source.scrapes
    assert seconds > 0
    assert size_bytes == len(body)


def test_whoever_knows_no_chunks_reads_to_the_end(site: Any, source: Any) -> None:
    source.the_tables = [large(20_000)]
    head, _, body = tell(site.server.url, ASKS.replace(b"/1.1", b"/1.0")).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == text.render(source.the_tables, CONSTANTS)


def test_another_request_on_the_same_connection(site: Any, source: Any) -> None:
    source.the_tables = [large(20_000)]
    host, port = site.server.address
    whole = len(text.render(source.the_tables, CONSTANTS))
    with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
        for method, size_bytes in (("GET", whole), ("HEAD", 0), ("GET", whole)):
            connection.request(method, "/metrics")
            answer = connection.getresponse()
            assert answer.getheader("transfer-encoding") == "chunked"
            assert len(answer.read()) == size_bytes


def test_what_cannot_be_shown_is_an_error_before_the_first_byte(
    site: Any, source: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Table("bad", "gauge", "", Series(()), values=np.zeros(1))
    source.the_tables = [large(20_000), bad]
    with caplog.at_level(logging.CRITICAL, "shmetrics"):
        assert site.ask("/metrics").status == 500
    source.the_tables.pop()
    assert site.ask("/metrics").status == 200


@pytest.mark.slow
def test_a_slow_client_has_its_moment_and_costs_a_piece(run: Any, source: Any) -> None:
    """Check that neither later events nor other clients change an answer, which costs a piece."""
    rows = 40_000
    first = large(rows, 1.0)
    running = run(source, limits=Web(answer_seconds=600))  # it is about space, not about time
    with ExitStack() as stack:
        clients = [
            stack.enter_context(connected(running.server.url, receive_bytes=4096)) for _ in range(8)
        ]
        for turn, client in enumerate(clients, 1):
            source.the_tables = [large(rows, float(turn), first.series)]
            client.sendall(ASKS.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        source.the_tables = [large(rows, 100.0, first.series)]
        assert site_value(running.ask("/metrics").body) == {100.0}
        taking = list(running.server._connections)
        assert {len(one.answer) for one in taking if one.answer} == {8 * rows}
        assert max(len(one.piece) for one in taking) < 2 * formatter.PIECE_BYTES
        for turn, client in enumerate(clients, 1):
            assert site_value(said(client)) == {float(turn)}
        assert not any(one.answer or one.piece for one in list(running.server._connections))


def site_value(answer: bytes) -> set[float]:
    """Return the values of all complete lines; the bounds of chunks cut some lines."""
    lines = [line for line in answer.split(b"\n") if line.startswith(b"large_total{")]
    whole = [line for line in lines if b"} " in line and line.endswith(b".0")]
    assert len(whole) > 0.9 * len(lines) > 30_000
    return {float(line.rpartition(b" ")[2]) for line in whole}


def test_nothing_is_made_for_a_client_that_has_left(
    run: Any, source: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = 0
    real = row_slice

    def counted(*args: Any) -> Table:
        nonlocal made
        made += 1
        return real(*args)

    monkeypatch.setattr(formatter, "row_slice", counted)
    source.the_tables = [large(100_000)]
    running = run(source)
    with connected(running.server.url, receive_bytes=4096) as client:
        client.sendall(ASKS)
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    soon(lambda: running.server.connections == 0)
    assert 2 < made < 30
    assert running.ask("/metrics").status == 200
    assert len(source.scrapes) == 1  # the first one would have been done before the second
    assert not caplog.records


def test_the_numbers_of_answers_that_nobody_takes_have_a_limit(run: Any, source: Any) -> None:
    rows = 20_000
    series = large(rows).series
    own_bytes = 8 * rows + 2 * formatter.PIECE_BYTES
    running = run(source, LOOPBACK, Web(max_waiting_bytes=4 * own_bytes, answer_seconds=600))
    with ExitStack() as stack:
        for _ in range(20):
            source.the_tables = [large(rows, 0.0, series)]
            client = stack.enter_context(connected(running.server.url, receive_bytes=4096))
            client.sendall(ASKS)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        soon(lambda: source.refusals[refusals.WAITING_BYTES] > 0)
        soon(lambda: 4 <= running.server.connections <= 9)


@pytest.mark.parametrize("encoding", [b"identity", b"gzip"])
def test_the_loop_goes_on_while_a_large_table_is_shown_for_the_first_time(
    source: Any, encoding: bytes
) -> None:
    source.the_tables = [large(20 * formatter.MOST_ROWS)]
    turns = 0

    async def send(message: Any) -> None:
        pass

    async def run() -> None:
        nonlocal turns
        headers = [(b"accept-encoding", encoding)]
        scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}

        async def answer() -> None:
            response = await _Endpoints(source, {}, source).metrics(Request(scope))
            await response(scope, None, send)  # type: ignore[arg-type]

        asked = asyncio.ensure_future(answer())
        while not asked.done():
            turns += 1
            await asyncio.sleep(0)
        await asked

    asyncio.run(run())
    assert turns >= 20
    assert len(source.scrapes) == 1
