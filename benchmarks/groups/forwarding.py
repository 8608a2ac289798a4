# SPDX-License-Identifier: Apache-2.0
"""A snapshot in the format of each destination, beside the usual Python way; scrapes meanwhile."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter, process_time
from typing import Any

from benchmarks import scraped, usual_encoders
from benchmarks.contender import Contender, Effort, Group, Timer
from benchmarks.groups.protobuf import native_tables
from benchmarks.groups.scrape import CONSTANTS, LABEL_SETS, Stage, tables

#: The usual way takes seconds for as many as ours.
FEW = 1_000
SCRAPED = 2_000
_CREATED = 1.7e9
_STAMP_NS = 1_800_000_000 * 10**9
LINES, FAMILIES = 28, 3  # series of a label set: classic ones, and with a native histogram


def timed(encode: Callable[[], int], n_series: int, before: Callable[[], None]) -> Timer:
    """Return a timer in processor time per series; what is *before* is off the clock."""

    def timer(loops: int) -> float:
        took = 0.0
        for _ in range(loops):
            before()
            begun = process_time()
            if not encode():
                raise RuntimeError("nothing was encoded")
            took += process_time() - begun
        return took / n_series

    return timer


def ours(make: Callable[[Any], Any], native: bool = False) -> Stage:
    """A snapshot of as many label sets; make returns the encoder for some additions."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        import numpy as np

        from shmetrics.destinations.metrics.snapshot import Additions, Snapshot

        made = native_tables(LABEL_SETS) if native else tables(LABEL_SETS)
        shown = [replace(table, created=np.full(LABEL_SETS, _CREATED)) for table in made]
        encoder = make(Additions.of("", CONSTANTS))
        n_snapshots = 0

        def encode() -> int:
            snapshot = Snapshot.of(shown, _STAMP_NS + n_snapshots * 10**9, 0.0)
            return sum(part.n for part in encoder.encode(snapshot).parts)

        def grow() -> None:
            nonlocal n_snapshots
            n_snapshots += 1
            for table in shown:
                if table.kind == "counter":
                    table.values[:] += np.uint64(3)
                else:
                    table.buckets[:] += np.uint64(1)
                    table.sums[:] += 1.5

        encode()  # labels are made once per series
        yield timed(encode, LABEL_SETS * (FAMILIES if native else LINES), grow)

    return stage


def usual(make: Callable[[], Callable[[], int]], lines: int) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        yield timed(make(), FEW * lines, lambda: None)

    return stage


def graphite(additions: Any, is_pickle: bool = False) -> Any:
    from shmetrics.destinations.metrics.graphite import Graphite

    return Graphite(additions, is_pickle=is_pickle)


def statsd(additions: Any) -> Any:
    from shmetrics.destinations.metrics.statsd import Statsd

    return Statsd(additions, 0)


def remote_write(additions: Any) -> Any:
    from shmetrics.destinations.metrics.remote_write import RemoteWrite

    return RemoteWrite(additions, native=True)


def otlp(additions: Any) -> Any:
    from shmetrics.destinations.metrics.otlp import Otlp

    return Otlp(additions, 0, native=True)


def elasticsearch(additions: Any) -> Any:
    from shmetrics.destinations.metrics.elasticsearch import Elasticsearch

    return Elasticsearch(additions)


_EFFORT = Effort(rounds=3, values=3, warmups=1, loops=2)


def group(key: str, what: str, note: str, *contenders: Contender) -> Group:
    title = f"A snapshot for {what}, per series"
    return Group(f"forward-{key}", title, note, key, contenders, effort=_EFFORT)


_NOTE = (
    "In processor time, from the arrays of a snapshot to what is sent, without the network. "
    f"{LABEL_SETS:,} label sets of the RPC client's families, {{}}; the usual way has "
    f"{FEW:,} of them."
)
_CLASSIC = _NOTE.format(f"{LINES} series each")
_NATIVE = _NOTE.format(f"{FAMILIES} series each, one of them a native histogram")

FORWARD_GRAPHITE = group(
    "graphite",
    "Graphite",
    _CLASSIC,
    Contender("graphite", "shmetrics, lines with tags", ours(graphite)),
    Contender("pickle", "shmetrics, pickles", ours(lambda added: graphite(added, True))),
    Contender(
        "bridge",
        "prometheus_client's GraphiteBridge",
        usual(lambda: usual_encoders.bridge(FEW), LINES),
    ),
)
FORWARD_STATSD = group(
    "statsd",
    "StatsD",
    f"{_CLASSIC} All series have grown, so that each has a line.",
    Contender("statsd", "shmetrics, deltas with tags", ours(statsd)),
    Contender(
        "datadog",
        "datadog's DogStatsd, buffered",
        usual(lambda: usual_encoders.dogstatsd(tables(FEW)), LINES),
    ),
)
FORWARD_REMOTE_WRITE = group(
    "remote-write",
    "Prometheus's remote write",
    f"{_NATIVE} Compressed.",
    Contender("remote-write", "shmetrics", ours(remote_write, native=True)),
    Contender(
        "runtime",
        "protobuf's own runtime (upb)",
        usual(lambda: usual_encoders.remote_write(native_tables(FEW)), FAMILIES),
    ),
)
FORWARD_OTLP = group(
    "otlp",
    "OTLP",
    f"{_NATIVE} OpenTelemetry has its data points already; their making is not counted.",
    Contender("otlp", "shmetrics, exponential histograms", ours(otlp, native=True)),
    Contender(
        "opentelemetry",
        "opentelemetry-sdk's exporter",
        usual(lambda: usual_encoders.otlp(native_tables(FEW)), FAMILIES),
    ),
)
FORWARD_ELASTICSEARCH = group(
    "elasticsearch",
    "Elasticsearch",
    _CLASSIC,
    Contender("elasticsearch", "shmetrics, documents", ours(elasticsearch)),
)


@contextmanager
def two_collectors() -> Iterator[None]:
    """Start a collector whose five destinations are in trouble, and one that has none."""
    with (
        troubles() as config,
        scraped.collector(SCRAPED) as calm,
        scraped.collector(SCRAPED, config) as troubled,
    ):
        _NODES.update(calm=calm, troubled=troubled)
        yield
    _NODES.clear()


_NODES: dict[str, scraped.Node] = {}


@contextmanager
def troubles() -> Iterator[str]:
    """Yield the configuration of five destinations, which are down, slow, full, refuse and drip."""
    with contextlib.ExitStack() as opened:
        down = opened.enter_context(socket.socket())
        down.bind(("127.0.0.1", 0))  # and does not listen
        full = opened.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # so that no connection comes about
            one = opened.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        slow = opened.enter_context(answering(None, 0.0))
        refusing = opened.enter_context(
            answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 0.0)
        )
        dripping = opened.enter_context(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.05)
        )
        ports = (down.getsockname()[1], full.getsockname()[1], slow, refusing, dripping)
        schemes = ("graphite", "remote-write+http", "otlp+http", "remote-write+http", "otlp+http")
        yield "".join(
            f'[[metrics.forward]]\nto = "{scheme}://127.0.0.1:{port}"\ninterval_seconds = 1\n'
            for scheme, port in zip(schemes, ports, strict=True)
        )


@contextmanager
def answering(answer: bytes | None, pause_seconds: float) -> Iterator[int]:
    """Yield the port of a server that reads everything, and answers a byte at a time, or never."""
    import socketserver

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.settimeout(0.2 if answer else None)
                with contextlib.suppress(TimeoutError):
                    while self.request.recv(1 << 20):
                        pass
                for byte in answer or b"":
                    self.request.sendall(bytes((byte,)))
                    time.sleep(pause_seconds)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def scrapes(name: str) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        node = _NODES[name]

        def timer(loops: int) -> float:
            begun = perf_counter()
            for _ in range(loops):
                node.scrape()
            return perf_counter() - begun

        yield timer

    return stage


FORWARD_SCRAPE = Group(
    "forward-scrape",
    f"A scrape of {SCRAPED:,} label sets, while five destinations are in trouble",
    "One takes no connection, one is down, one never answers, one refuses everything and one "
    "drips its answer; each gets a snapshot every second. By turns with a collector that has no "
    "destination.",
    "calm",
    (
        Contender("calm", "shmetrics, no destination", scrapes("calm")),
        Contender("troubled", "shmetrics, five destinations in trouble", scrapes("troubled")),
    ),
    floor="calm",
    effort=Effort(rounds=2, values=10, warmups=1, loops=10),
    together=two_collectors,
)
