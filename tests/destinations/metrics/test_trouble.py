# SPDX-License-Identifier: Apache-2.0
"""Each destination in each kind of trouble.

What was made is what was sent, waits or was dropped, to the unit, at each step; the log has one
line; and the neighbour gets everything at once.
"""

from __future__ import annotations

import logging
import random
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from shmetrics.forwarding import forwarder
from shmetrics.forwarding.report import Report
from shmetrics.tables.table import Series, Table
from tests.http.authority import Authority
from tests.servers import datagrams
from tests.servers.bulk import BulkStandIn
from tests.servers.datagrams import Datagrams
from tests.servers.otlp_metrics import GrpcReceiver
from tests.servers.processes import until
from tests.servers.scripted import Scripted, say
from tests.servers.sink import Sink
from tests.servers.trouble import Trouble, Way

from .conftest import Driven
from .scraped import CREATED, SECONDS, counter, wanted

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 0.3
N = 3000  # more than the buffers of a connection take that nobody reads


class Case(NamedTuple):
    """A destination: how to address it, and what a good server of it is."""

    url: str
    server: Callable[..., Any]
    is_answered: bool = True


CASES = {
    "graphite": Case("graphite://localhost:{port}", Sink, is_answered=False),
    "pickle": Case("graphite+pickle://localhost:{port}", Sink, is_answered=False),
    "syslog": Case("syslog+tcp://localhost:{port}", Sink, is_answered=False),
    "remote-write": Case("remote-write+http://localhost:{port}/api/v1/write", Scripted),
    "otlp-http": Case("otlp+http://localhost:{port}/v1/metrics", Scripted),
    "otlp-grpc": Case("otlp+grpc://localhost:{port}", GrpcReceiver),
    "elasticsearch": Case("elasticsearch+http://localhost:{port}/m", BulkStandIn),
}
TLS_CASES = {
    "syslog": Case("syslog+tls://localhost:{port}", Sink, is_answered=False),
    "remote-write": Case("remote-write+https://localhost:{port}/api/v1/write", Scripted),
    "otlp-http": Case("otlp+https://localhost:{port}/v1/metrics", Scripted),
    "otlp-grpc": Case("otlp+grpcs://localhost:{port}", GrpcReceiver),
    "elasticsearch": Case("elasticsearch+https://localhost:{port}/m", BulkStandIn),
}
HTTP_CASES = ("remote-write", "otlp-http", "elasticsearch")
each_case = pytest.mark.parametrize("name", CASES)
each_http = pytest.mark.parametrize("name", HTTP_CASES)


def many(n: int = N) -> Table:
    """Return a counter with labels that no protocol makes much smaller."""
    values = random.Random(1)
    rows = [(f"{values.getrandbits(256):064x}", f"{values.getrandbits(256):064x}")]
    rows += [(f"{values.getrandbits(512):0128x}", f"{n}") for n in range(n - 1)]
    return counter("many", [1.0] * n, series=Series(("a", "b"), rows))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pauses between tries be short."""
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.02)


@pytest.fixture
def open_one() -> Iterator[Callable[..., Any]]:
    """Yield `open_one(made)`, which closes what was made at the end, the last first."""
    opened: list[Any] = []

    def keep(made: Any) -> Any:
        opened.append(made)
        return made

    yield keep
    for one in reversed(opened):
        one.close()


def is_exact(report: Report) -> bool:
    counts = report.counts
    return counts.put == counts.sent + counts.waiting + sum(counts.lost.values())


def reaches(driven: Driven, true: Callable[[Report], object]) -> Report:
    """Wait until something is true of the first destination, whose sum is exact all the time."""

    def found() -> object:
        report = driven.report
        assert is_exact(report), report
        return true(report)

    until(found, lambda: str(driven.report), SECONDS)
    return driven.report


@each_case
@pytest.mark.parametrize("way", ["closed", "full", "mute", "no_answer", "cut"])
def test_a_destination_in_trouble_gets_all_once_it_is_well(
    driven: Callable[..., Driven],
    open_one: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    name: str,
    way: Way,
) -> None:
    case = CASES[name]
    if way == "no_answer" and not case.is_answered:
        way = "mute"  # it is all that can hang there
    good = open_one(case.server())
    neighbour = open_one(Sink())
    trouble = open_one(Trouble(good.port, way))
    to = wanted(case.url.format(port=trouble.port), timeout_seconds=TIMEOUT_SECONDS)
    beside = wanted(f"graphite://127.0.0.1:{neighbour.port}")
    with caplog.at_level(logging.WARNING):
        destinations = driven(to, beside)
        destinations.take([many()])
        report = reaches(destinations, lambda report: report.counts.retries >= 2)
        assert report.counts.waiting == report.counts.put == N
        assert 0 < report.counts.waiting_bytes <= to.max_waiting_bytes
        until(lambda: destinations.destinations.reports()[1].counts.sent == N, lambda: "", SECONDS)
        trouble.begin("good")
        report = reaches(destinations, lambda report: not report.counts.waiting)
    assert (report.counts.sent, report.counts.lost) == (N, {})
    assert report.counts.waiting_bytes == 0
    said = [line for line in caplog.messages if to.to in line]
    assert len(said) == 1, said


@pytest.mark.parametrize("scheme", ["statsd+unix", "syslog", "journal"])
@pytest.mark.parametrize("way", ["closed", "full", "cut"])
def test_a_socket_of_datagrams_in_trouble_gets_all_once_it_is_well(
    driven: Callable[..., Driven],
    open_one: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    folder: Path,
    scheme: str,
    way: datagrams.Way,
) -> None:
    """Check that each series is in one datagram. What was taken and is not read before a receiver
    goes away is lost to the kernel, and nobody says so."""
    receiver = open_one(Datagrams(folder / "s", way))
    neighbour = open_one(Sink())
    to = wanted(f"{scheme}://{folder}/s", timeout_seconds=TIMEOUT_SECONDS)
    beside = wanted(f"graphite://127.0.0.1:{neighbour.port}")
    with caplog.at_level(logging.WARNING):
        destinations = driven(to, beside, begin_ns=int(CREATED - 10) * 10**9)
        destinations.take([many()])
        report = reaches(destinations, lambda report: report.counts.retries >= 2)
        assert report.counts.put == N
        assert report.counts.waiting > 0
        assert 0 < report.counts.waiting_bytes <= to.max_waiting_bytes
        assert report.problem
        until(lambda: destinations.destinations.reports()[1].counts.sent == N, lambda: "", SECONDS)
        receiver.begin("good")
        report = reaches(destinations, lambda report: not report.counts.waiting)
    assert (report.counts.sent, report.counts.lost, report.problem) == (N, {}, "")

    def series() -> list[bytes]:
        return re.findall(rb"many_total\b.*", b"\n".join(receiver.taken))

    if way == "cut":
        assert len(set(series())) == len(series()) <= N
    else:
        until(lambda: len(series()) == N, lambda: str(len(series())), SECONDS)
        assert len(set(series())) == N
    said = [line for line in caplog.messages if to.to in line]
    assert len(said) == 1, said


@pytest.mark.parametrize("name", TLS_CASES)
def test_a_handshake_that_hangs_is_left(
    driven: Callable[..., Driven],
    open_one: Callable[..., Any],
    tmp_path: Path,
    name: str,
) -> None:
    case = TLS_CASES[name]
    authority = Authority(tmp_path)
    good = open_one(served(case, authority))
    trouble = open_one(Trouble(good.port, "no_answer"))
    to = wanted(
        case.url.format(port=trouble.port),
        ca_file=str(authority.file),
        timeout_seconds=TIMEOUT_SECONDS,
    )
    destinations = driven(to)
    destinations.take([many(5)])
    reaches(destinations, lambda report: report.counts.retries >= 1)
    trouble.begin("good")
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert (report.counts.sent, report.counts.lost) == (5, {})


def served(case: Case, authority: Authority) -> Any:
    """Return a good server with a certificate of an authority."""
    cert, key = authority.certify("server")
    if case.server is GrpcReceiver:
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
        return GrpcReceiver(credentials)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return case.server(context)


@pytest.mark.parametrize("name", TLS_CASES)
def test_whoever_has_a_wrong_certificate_gets_nothing(
    driven: Callable[..., Driven],
    open_one: Callable[..., Any],
    tmp_path: Path,
    name: str,
) -> None:
    case = TLS_CASES[name]
    (tmp_path / "other").mkdir()
    (tmp_path / "ours").mkdir()
    server = open_one(served(case, Authority(tmp_path / "other")))
    ours = Authority(tmp_path / "ours")
    to = wanted(case.url.format(port=server.port), ca_file=str(ours.file), give_up_seconds=0.5)
    destinations = driven(to)
    destinations.take([many(5)])
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert (report.counts.sent, report.counts.lost) == (0, {"gave_up": 5})
    assert not getattr(server, "requests", ())
    assert not getattr(server, "taken", b"")


@each_http
@pytest.mark.parametrize("status", [400, 401, 413])
def test_what_is_refused_is_not_sent_again(
    driven: Callable[..., Driven], open_one: Callable[..., Any], name: str, status: int
) -> None:
    server = open_one(CASES[name].server())
    server.answers.append(lambda handler: say(handler, status, b"no"))
    destinations = driven(wanted(CASES[name].url.format(port=server.port)))
    for _ in range(2):
        destinations.take([many(5)])
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert (report.counts.sent, report.counts.lost) == (5, {"refused": 5})
    assert (server.tries, report.counts.retries) == (2, 0)


@each_http
@pytest.mark.parametrize("status", [429, 503])
def test_a_destination_that_asks_for_a_pause_gets_it(
    driven: Callable[..., Driven],
    open_one: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    status: int,
) -> None:
    pauses: list[float] = []

    def waited(self: object, seconds: float) -> bool:
        pauses.append(seconds)
        return True

    monkeypatch.setattr(forwarder.Forwarder, "_wait", waited)
    server = open_one(CASES[name].server())
    server.answers.append(lambda handler: say(handler, status, b"", Retry_After="7"))
    server.answers.append(lambda handler: say(handler, status))
    destinations = driven(wanted(CASES[name].url.format(port=server.port)))
    destinations.take([many(5)])
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert (report.counts.sent, report.counts.lost) == (5, {})
    assert pauses[0] == 7
    assert pauses[1] < 1


@pytest.mark.parametrize(
    ("name", "is_tried_again"),
    [("remote-write", True), ("elasticsearch", True), ("otlp-http", False)],  # by specification
)
def test_an_error_of_the_server(
    driven: Callable[..., Driven], open_one: Callable[..., Any], name: str, is_tried_again: bool
) -> None:
    server = open_one(CASES[name].server())
    server.answers.append(lambda handler: say(handler, 500))
    destinations = driven(wanted(CASES[name].url.format(port=server.port)))
    destinations.take([many(5)])
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert report.counts.sent == (5 if is_tried_again else 0)
    assert report.counts.lost == ({} if is_tried_again else {"refused": 5})


def full(context: grpc.ServicerContext) -> Any:
    """Answer that the receiver is full for some milliseconds."""
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(nanos=5_000_000)))
    status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (lambda context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no"), {"refused": 5}),
        (lambda context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "who"), {"refused": 5}),
        (lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "later"), {}),
        (full, {}),
    ],
)
def test_the_same_by_grpc(
    driven: Callable[..., Driven],
    open_one: Callable[..., Any],
    answer: Any,
    lost: dict[str, int],
) -> None:
    server = open_one(GrpcReceiver())
    server.answers.append(answer)
    destinations = driven(wanted(server.url))
    destinations.take([many(5)])
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert report.counts.lost == lost
    assert report.counts.sent == 5 - sum(lost.values())


@pytest.mark.parametrize("name", [*(name for name in CASES if name != "otlp-grpc"), "statsd"])
def test_a_name_that_is_gone_is_looked_up_again(
    driven: Callable[..., Driven],
    open_one: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    case = CASES.get(name, Case("statsd://localhost:{port}", Sink))
    server = open_one(case.server())
    real, tries = socket.getaddrinfo, []

    def gone(*args: Any, **more: Any) -> Any:
        if more.get("flags"):  # whether it is an address
            return real(*args, **more)
        tries.append(args)
        if len(tries) < 3:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1", *args[1:], **more)

    monkeypatch.setattr(socket, "getaddrinfo", gone)
    to = wanted(case.url.format(port=server.port).replace("localhost", "collector.invalid"))
    destinations = driven(to, begin_ns=10**18)
    destinations.take([many(5)])
    report = reaches(destinations, lambda report: report.counts.sent == 5)
    assert (report.counts.retries, report.counts.lost) == (2, {})


def test_the_oldest_make_room_and_memory_is_exact(
    driven: Callable[..., Driven], open_one: Callable[..., Any]
) -> None:
    """Check that what waits is never more than it may, and that the newest are what is kept."""
    good = open_one(Sink())
    trouble = open_one(Trouble(good.port, "closed"))
    most = 64 * 1024
    to = wanted(f"graphite://localhost:{trouble.port}", max_waiting_bytes=most)
    destinations = driven(to)
    made = 0
    for number in range(1, 31):
        destinations.take([counter(values=[number] * 2), many(40)])
        made += 42
        report = destinations.report
        assert is_exact(report)
        assert report.counts.put == made
        assert report.counts.waiting_bytes <= most
    assert report.counts.lost["queue"] == made - report.counts.waiting
    assert report.counts.lost["queue"] % 42 == 0  # whole snapshots
    trouble.begin("good")
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert report.counts.sent == made - report.counts.lost["queue"]
    until(lambda: good.taken.count(b"\n") == report.counts.sent, lambda: "not all", SECONDS)
    values = [line.split()[1] for line in good.taken.splitlines() if b"topic=compute" in line]
    n_kept = report.counts.sent // 42
    assert n_kept > 2
    # The first one was in hands, and is still there; the others are the newest.
    assert values == [b"1.0", *(b"%d.0" % n for n in range(32 - n_kept, 31))]


def test_a_snapshot_that_never_fits_is_dropped_whole(
    driven: Callable[..., Driven], open_one: Callable[..., Any]
) -> None:
    sink = open_one(Sink())
    to = wanted(f"graphite://localhost:{sink.port}", max_waiting_bytes=64 * 1024)
    destinations = driven(to)
    destinations.take([many()])
    destinations.take([counter()])
    report = reaches(destinations, lambda report: not report.counts.waiting)
    assert (report.counts.sent, report.counts.lost) == (2, {"queue": N})


def test_what_a_restart_leaves_behind_is_counted(
    driven: Callable[..., Driven], open_one: Callable[..., Any]
) -> None:
    good = open_one(Sink())
    trouble = open_one(Trouble(good.port, "closed"))
    to = wanted(f"graphite://localhost:{trouble.port}")
    first = driven(to)
    first.take([counter()])
    reaches(first, lambda report: report.counts.retries)
    first.destinations.close(seconds=0.0)
    assert is_exact(first.report)
    assert first.report.counts.lost == {"stopped": 2}
    trouble.begin("good")
    second = driven(to)
    second.take([counter()])
    report = reaches(second, lambda report: not report.counts.waiting)
    assert (report.counts.put, report.counts.sent) == (2, 2)
