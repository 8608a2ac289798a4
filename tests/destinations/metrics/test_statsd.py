# SPDX-License-Identifier: Apache-2.0
"""StatsD, against npm's: counters are what they have grown by, none twice, none negative."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from shmetrics.destinations.metrics import statsd as module
from shmetrics.tables.table import Series, Table
from tests.servers.ports import ReservedPort
from tests.servers.processes import until
from tests.servers.statsd import Statsd, installed, lacking

from .conftest import Driven
from .scraped import CREATED, SECONDS, Key, counter, gauge, histogram, info, scraped, wanted

needs_statsd = pytest.mark.skipif(bool(lacking()), reason=lacking())
BEFORE = int(CREATED - 10) * 10**9  # before all series began
LATER = int(CREATED + 10) * 10**9


@pytest.fixture
def statsd(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Statsd]:
    server = Statsd(installed(tmp_path_factory), tmp_path)
    yield server
    server.stop()


def name_of(key: Key, tags: bool) -> str:
    """Return the name that statsd makes of a sample, with `le` before all tags, or at the end."""
    name, labels = key
    parts = sorted(labels, key=lambda pair: (pair[0] != "le") == tags)
    if tags:
        return ";".join((name, *(f"{name}={value}" for name, value in parts)))
    escaped = [(name, value.replace(".", "%2E").replace("+", "%2B")) for name, value in parts]
    return ".".join((name, *(f"{name}.{value}" for name, value in escaped)))


def plain(values: tuple[float, ...] = (5, 2.5)) -> list[Table]:
    """Return tables without labels that statsd would write in its own way."""
    series = Series(("topic",), [("compute",), ("volume",)][: len(values)])
    return [counter(values=values, series=series), gauge(), histogram(), info()]


@needs_statsd
@pytest.mark.parametrize("tags", [True, False])
def test_every_value_is_that_of_a_scrape(
    driven: Callable[..., Driven], statsd: Statsd, tags: bool
) -> None:
    destinations = driven(wanted(f"statsd://127.0.0.1:{statsd.port}", tags=tags), begin_ns=BEFORE)
    for values in ((5, 2.5), (6, 2.5), (106, 3)):
        tables = [*plain(values), gauge("odd", (math.inf, math.nan))]
        destinations.take(tables)
        destinations.arrives()
    samples = scraped(tables)
    expected = {
        name_of(key, tags): value
        for key, value in samples.items()
        if math.isfinite(value) and value != 0 and not key[0].startswith(("depth", "build"))
    }
    until(lambda: statsd.counters() == expected, lambda: f"{statsd.counters()}", SECONDS)
    gauges = {
        name_of(key, tags): value
        for key, value in samples.items()
        if key[0].startswith(("depth", "build"))
    }
    assert statsd.gauges() == gauges
    assert statsd.bad_lines == 0
    report = destinations.report
    assert (report.n_unfit, report.counts.lost) == (6, {})
    assert report.counts.put == report.counts.sent


@needs_statsd
def test_a_restart_of_either_side_counts_nothing_twice(
    driven: Callable[..., Driven],
    statsd: Statsd,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    to = wanted(f"statsd://127.0.0.1:{statsd.port}", families=["jobs*"])
    first = driven(to, begin_ns=BEFORE)
    first.take(plain((5, 2)))
    first.arrives()
    name = "jobs_total;hostname=node-1;topic=compute"
    until(lambda: statsd.counters().get(name) == 5, lambda: str(statsd.counters()), SECONDS)
    second = driven(to, begin_ns=LATER)  # another collector, which finds the same totals
    for values in ((7, 2), (8, 2)):
        second.take(plain(values))
        second.arrives()
    until(lambda: statsd.counters().get(name) == 6, lambda: str(statsd.counters()), SECONDS)
    other = Statsd(installed(tmp_path_factory), tmp_path_factory.mktemp("statsd"))
    try:
        third = driven(wanted(f"statsd://127.0.0.1:{other.port}"), begin_ns=LATER)
        for values in ((8, 2), (11, 2), (11, 2)):
            third.take(plain(values))
            third.arrives()
        until(lambda: other.counters() == {name: 3}, lambda: str(other.counters()), SECONDS)
    finally:
        other.stop()


class Receiver:
    """A socket that keeps what comes to it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(SECONDS)

    def lines(self, n: int) -> list[str]:
        """Return the next lines, as many as these."""
        found: list[str] = []
        while len(found) < n:
            datagram = self._socket.recv(1 << 16)
            assert len(datagram) <= module.MOST_DATAGRAM_BYTES
            found += datagram.decode().split("\n")
        assert len(found) == n
        return found

    def close(self) -> None:
        self._socket.close()


def test_a_unix_socket_gets_lines_of_dogstatsd(driven: Callable[..., Driven], folder: Path) -> None:
    receiver = Receiver(folder / "s")
    try:
        destinations = driven(wanted(f"statsd+unix://{folder}/s"), begin_ns=BEFORE)
        destinations.take([counter(), gauge(values=(-2.5, 3))])
        odd = 'a%20b%7Cc%3Bd%2Ce:f%23g/h"i\\j%25k~{l}%0Am=é'
        assert receiver.lines(5) == [
            f"jobs_total:5.0|c|#hostname:node-1,odd:{odd},topic:compute",
            "jobs_total:2.5|c|#hostname:node-1,topic:volume",
            "depth:3.0|g|#hostname:node-1,queue:q1",
            "depth:0.0|g|#hostname:node-1,queue:q0",
            "depth:-2.5|g|#hostname:node-1,queue:q0",
        ]
        assert destinations.arrives().counts.sent == 4
    finally:
        receiver.close()


def test_many_lines_make_datagrams_that_fit(driven: Callable[..., Driven], folder: Path) -> None:
    receiver = Receiver(folder / "s")
    try:
        destinations = driven(wanted(f"statsd+unix://{folder}/s"), begin_ns=BEFORE)
        series = Series(("n",), [(str(n),) for n in range(5000)])
        table = Table(
            "many",
            "counter",
            "",
            series,
            values=np.arange(1.0, 5001),
            created=np.full(5000, CREATED),
        )
        destinations.take([table])
        lines = receiver.lines(5000)
        assert lines[4999] == "many_total:5000.0|c|#hostname:node-1,n:4999"
        assert len(set(lines)) == 5000
        assert destinations.arrives().counts.sent == 5000
    finally:
        receiver.close()


def test_growth_waits_for_a_receiver_that_is_away(driven: Callable[..., Driven]) -> None:
    """Check that no other snapshot is made while one waits: the next has all growth since."""
    reserved = ReservedPort()
    try:
        to = wanted(f"statsd://127.0.0.1:{reserved.number}", families=["jobs*"])
        destinations = driven(to, begin_ns=BEFORE)
        destinations.take([counter(values=(5, 5))])
        destinations.arrives()  # over UDP it is heard later that nobody is there
        destinations.take([counter(values=(7, 5))])
        until(lambda: destinations.report.counts.retries >= 1, lambda: "no try", SECONDS)
        destinations.take([counter(values=(8, 6))])
        assert destinations.report.counts.put == 3  # of the third nothing is made
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", reserved.number))
            sock.settimeout(SECONDS)
            assert sock.recv(4096) == b"jobs_total:2.0|c|#hostname:node-1,odd:" + odd_bytes()
            destinations.arrives()
            destinations.take([counter(values=(8, 6))])
            assert sock.recv(4096).count(b":1.0|c") == 2
            assert destinations.arrives().counts.sent == 5
    finally:
        reserved.release()


def odd_bytes() -> bytes:
    return 'a%20b%7Cc%3Bd%2Ce:f%23g/h"i\\j%25k~{l}%0Am=é,topic:compute'.encode()
