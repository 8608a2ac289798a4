# SPDX-License-Identifier: Apache-2.0
"""Remote write, against a real Prometheus and a real victoria-metrics."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from shmetrics.tables.table import Series, Table
from tests.servers.processes import until
from tests.servers.prometheus import Prometheus
from tests.servers.victoria import Victoria, lacking

from .conftest import Driven
from .scraped import NODE, SECONDS, all_kinds, counter, gauge, histogram, scraped, wanted

BINARY = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(BINARY is None, reason="no prometheus, which Debian has")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    assert BINARY is not None
    folder = tmp_path_factory.mktemp("prometheus")
    server = Prometheus(BINARY, folder, "", ["native-histograms", "exemplar-storage"])
    yield server
    server.stop()


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victoria]:
    server = Victoria(tmp_path_factory.mktemp("victoria"))
    yield server
    server.stop()


def to_url(url: str, **options: Any) -> Any:
    return wanted(f"remote-write+{url}/api/v1/write", **options)


def at(time_ns: int) -> str:
    return f"{time_ns // 10**6 / 1000:.3f}"


def stored(server: Prometheus, expression: str, time_ns: int) -> dict[Any, float]:
    """Return the samples at a moment, by name and labels."""
    found = {}
    for each in server.get("query", query=expression, time=at(time_ns))["result"]:
        name = each["metric"].pop("__name__")
        found[name, tuple(sorted(each["metric"].items()))] = float(each["value"][1])
    return found


@needs_prometheus
def test_every_value_is_that_of_a_scrape(
    driven: Callable[..., Driven], receiver: Prometheus
) -> None:
    to = to_url(receiver.url, labels={"run": "values"}, prefix="p_")
    destinations = driven(to, begin_ns=time.time_ns())
    tables = [*all_kinds(), gauge("odd", (np.inf, np.nan, -np.inf))]
    time_ns = destinations.take(tables)
    report = destinations.arrives()
    expected = {
        ("p_" + name, labels): value
        for (name, labels), value in scraped(tables, {**NODE, "run": "values"}).items()
    }
    found = stored(receiver, '{run="values"}', time_ns)
    assert repr(sorted(found.items())) == repr(sorted(expected.items()))  # NaN equals itself here
    assert report.counts.sent == report.counts.put == len(expected)


@needs_prometheus
def test_histograms_are_native_and_have_their_exemplars(
    driven: Callable[..., Driven], receiver: Prometheus
) -> None:
    to = to_url(receiver.url, labels={"run": "native"}, native_histograms=True)
    destinations = driven(to, begin_ns=time.time_ns())
    destinations.take([histogram()])
    time_ns = destinations.take([histogram()])  # Prometheus keeps no exemplar of a new series
    assert destinations.arrives().counts.sent == 4
    build, reboot = sorted(
        receiver.get("query", query='{run="native"}', time=at(time_ns))["result"],
        key=lambda each: str(each["metric"]["method"]),
    )
    said = build["histogram"][1]
    assert (said["count"], float(said["sum"])) == ("6", 9.125)
    # Columns 2, 3 and 9 of those that begin at bucket -4, in schema 3.
    buckets = [(float(low), float(high), int(n)) for _, low, high, n in said["buckets"] if int(n)]
    assert [n for *_, n in buckets] == [3, 1, 2]
    for (low, high, _), index in zip(buckets, (-2, -1, 5), strict=True):
        assert high == pytest.approx(2 ** (index / 8))
        assert low == pytest.approx(2 ** ((index - 1) / 8))
    assert reboot["histogram"][1]["count"] == "0"
    seconds = {"start": "1600000000", "end": "1600000002"}
    (found,) = receiver.get("query_exemplars", query='latency_seconds{run="native"}', **seconds)
    (exemplar,) = found["exemplars"]
    assert exemplar["labels"] == {"trace_id": "01" * 16, "span_id": "02" * 8}
    assert (float(exemplar["value"]), exemplar["timestamp"]) == (0.75, 1_600_000_001.5)


@needs_prometheus
def test_what_is_gone_is_stale_at_once(driven: Callable[..., Driven], receiver: Prometheus) -> None:
    to = to_url(receiver.url, labels={"run": "stale"}, native_histograms=True)
    destinations = driven(to, begin_ns=time.time_ns())
    series = Series(("topic",), [("a",), ("b",)])
    destinations.take([counter(series=series), gauge(), histogram()])
    destinations.arrives()
    fewer = Series(("topic",), [("b",)])
    time_ns = destinations.take([counter(values=(7,), series=fewer)])
    report = destinations.arrives()
    assert report.counts.sent == report.counts.put == 7 + 1 + 6
    labels = (("hostname", "node-1"), ("run", "stale"), ("topic", "b"))
    assert stored(receiver, '{run="stale"}', time_ns) == {("jobs_total", labels): 7.0}
    assert (
        len(receiver.get("query", query='{run="stale"}', time=at(time_ns - 10**6))["result"]) == 7
    )


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_victoria_metrics_has_every_value(
    driven: Callable[..., Driven], victoria: Victoria
) -> None:
    to = to_url(victoria.url, labels={"run": "values"})
    destinations = driven(to, begin_ns=time.time_ns())
    tables = all_kinds()
    times = [destinations.take(tables) // 10**6 for _ in range(2)]
    destinations.arrives()
    expected = {
        tuple(sorted((("__name__", name), *labels))): [(stamp, value) for stamp in times]
        for (name, labels), value in scraped(tables, {**NODE, "run": "values"}).items()
    }
    until(
        lambda: victoria.values('{run="values"}') == expected,
        lambda: str(victoria.values('{run="values"}')),
        SECONDS,
    )


def test_requests_are_as_the_specification_has_them(
    driven: Callable[..., Driven], peer: Any
) -> None:
    destinations = driven(to_url(peer.url, headers={"X-Scope-OrgID": "cloud"}))
    many = Series(("n",), [(str(n),) for n in range(20_000)])
    table = Table("many", "counter", "", many, values=np.arange(20_000.0))
    destinations.take([table])
    assert destinations.arrives().counts.sent == 20_000
    assert len(peer.requests) > 1
    for request in peer.requests:
        assert request.path == "/api/v1/write"
        assert request.headers["Content-Encoding"] == "snappy"
        assert request.headers["Content-Type"] == "application/x-protobuf"
        assert request.headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
        assert request.headers["X-Scope-OrgID"] == "cloud"
