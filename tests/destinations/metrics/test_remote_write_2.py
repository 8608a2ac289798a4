# SPDX-License-Identifier: Apache-2.0
"""Remote write 2.0, read back with Google's runtime: no engine that takes it is in Debian. A real
Prometheus that has 1.0 alone gets that."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings

from shmetrics.destinations.metrics import remote_write_2 as module
from shmetrics.destinations.metrics.remote_write_2 import RemoteWrite2
from shmetrics.tables.table import Series, Table
from tests.render.strategies import constant_labels, tables
from tests.servers.prometheus import Prometheus
from tests.servers.scripted import Scripted

from .conftest import Driven
from .scraped import CREATED, NODE, Key, all_kinds, counter, histogram, scraped, wanted
from .test_formats import TIME_NS, additions, encoded, same
from .write_model import Request

BINARY = shutil.which("prometheus")
TYPES = {"unknown": 0, "counter": 1, "gauge": 2, "histogram": 3, "info": 6}


def read(content: bytes) -> list[tuple[str, dict[str, str], Any, list[str]]]:
    """Return name, labels, message and symbols of each series of a request."""
    request = Request.FromString(bytes(cramjam.snappy.decompress_raw(content)))
    symbols = list(request.symbols)
    assert symbols[0] == ""
    assert len(set(symbols)) == len(symbols)
    found = []
    for series in request.timeseries:
        words = [symbols[number] for number in series.labels_refs]
        pairs = list(zip(words[::2], words[1::2], strict=True))
        assert pairs == sorted(pairs)
        labels = dict(pairs)
        assert len(labels) == len(pairs)
        found.append((labels.pop("__name__"), labels, series, symbols))
    return found


@given(tables(), constant_labels)
@settings(max_examples=200)
def test_every_value_is_that_of_a_scrape(table: Table, constants: dict[str, str]) -> None:
    contents, n, _ = encoded(RemoteWrite2(additions(constants)), table)
    found: dict[Key, float] = {}
    for content in contents:
        for name, labels, series, symbols in read(content):
            (sample,) = series.samples
            assert sample.timestamp == TIME_NS // 10**6
            found[name, tuple(sorted(labels.items()))] = sample.value
            said = series.metadata
            assert said.type == TYPES[table.kind]
            assert (symbols[said.help_ref], symbols[said.unit_ref]) == (table.help, table.unit)
    assert same(found, scraped([table], constants))
    assert n == len(found)


def test_native_histograms_say_since_when_they_count() -> None:
    (content,), n, _ = encoded(RemoteWrite2(additions(NODE), native=True), histogram())
    assert n == 2
    (_, labels, build, _), (_, _, reboot, _) = read(content)
    assert labels == {**NODE, "method": "build", "zone": "z1"}
    (one,) = build.histograms
    assert (one.count_int, one.sum, list(one.positive_deltas)) == (6, 9.125, [3, -2, 1])
    assert [(span.offset, span.length) for span in one.positive_spans] == [(-2, 2), (5, 1)]
    assert build.created_timestamp == reboot.created_timestamp == int(CREATED * 1000)


def answers(handler: BaseHTTPRequestHandler, **headers: str) -> None:
    handler.send_response(204)
    for name, value in headers.items():
        handler.send_header(f"X-Prometheus-Remote-Write-{name}-Written", value)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def test_what_a_receiver_has_not_written_is_counted(
    driven: Callable[..., Driven], peer: Scripted
) -> None:
    to = wanted(f"remote-write+{peer.url}/api/v1/write", protocol_version="2.0")
    peer.answers.append(lambda handler: answers(handler, Samples="5", Histograms="0"))
    destinations = driven(to)
    destinations.take([counter(), histogram()])
    counts = destinations.arrives().counts
    assert (counts.sent, counts.lost) == (5, {"refused": counts.put - 5})


@pytest.mark.skipif(BINARY is None, reason="no prometheus, which Debian has")
def test_whoever_has_no_2_0_gets_1_0(
    driven: Callable[..., Driven], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert BINARY is not None
    server = Prometheus(BINARY, tmp_path_factory.mktemp("prometheus"), "")
    try:
        to = wanted(f"remote-write+{server.url}/api/v1/write", protocol_version="2.0")
        destinations = driven(to, begin_ns=time.time_ns())
        destinations.take(all_kinds())
        counts = destinations.arrives().counts
        n = counts.put
        assert counts.lost == {"refused": n}
        destinations.take(all_kinds())
        counts = destinations.arrives().counts
        assert (counts.sent, counts.lost) == (n, {"refused": n})
        stamp = f"{destinations.time_ns // 10**6 / 1000:.3f}"
        found = server.get("query", query='{hostname="node-1"}', time=stamp)["result"]
        assert len(found) == len(scraped(all_kinds()))
    finally:
        server.stop()


def test_symbols_begin_anew_when_most_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_GROWTH_BYTES", 1000)
    encoder = RemoteWrite2(additions({}))
    sizes = []
    for turn in range(10):
        rows = [(f"{turn}-{n}-" + "x" * 20,) for n in range(20)]
        table = Table("t", "gauge", "", Series(("n",), rows), values=np.ones(20))
        contents, n, _ = encoded(encoder, table)
        assert n == (20 if turn == 0 else 40)  # stale markers of the turn before
        sizes.append(len(read(contents[0])[0][3]))
    assert max(sizes) < 100
