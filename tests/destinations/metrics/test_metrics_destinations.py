# SPDX-License-Identifier: Apache-2.0
"""A collector that sends its metrics on, end to end, and what it says of that."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.node import Node, node
from tests.servers.carbon import Carbon, lacking
from tests.servers.ports import ReservedPort
from tests.servers.processes import until

from .scraped import SECONDS

__all__ = ["node"]

EMITTER = """
    counter = shmetrics.Counter("jobs", "Jobs", ["topic"])
    for topic, n in (("compute", 3), ("volume", 4)):
        counter.labels(topic).inc(n)
    shmetrics.Histogram("latency", "Latency", buckets=(0.5, 1)).observe(0.75)
    while not shmetrics.status()["connected"]:
        counter.labels("compute").inc(0)
    pause("done")
"""


@pytest.fixture
def carbon(tmp_path: Path) -> Iterator[Carbon]:
    folder = tmp_path / "carbon"
    folder.mkdir()
    server = Carbon(folder)
    yield server
    server.close()


def account(node: Node) -> dict[str, dict[str, float]]:
    """Return the numbers of each destination, as of one scrape; lost ones are summed up."""
    found: dict[str, dict[str, float]] = {}
    for (name, labels), value in node.samples().items():
        said = dict(labels)
        if name.startswith("shmetrics_forward_") and "to" in said:
            part = name.removeprefix("shmetrics_forward_").removesuffix("_total")
            of_one = found.setdefault(said["to"], {})
            of_one[part] = of_one.get(part, 0) + value
    return found


def is_exact(numbers: dict[str, float]) -> bool:
    parts = ("series_sent", "series_waiting", "series_dropped")
    return numbers["series_produced"] == sum(numbers[part] for part in parts)


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_what_a_node_records_arrives(node: Node, carbon: Carbon) -> None:
    reserved = ReservedPort()  # nobody is there
    good, gone = (
        f"graphite://127.0.0.1:{carbon.line_port}",
        f"graphite://127.0.0.1:{reserved.number}",
    )
    node.start(
        f"""
        [[metrics.forward]]
        to = "{good}"
        interval_seconds = 1
        families = ["jobs*", "latency"]
        labels = {{ region = "north" }}
        prefix = "node."

        [[metrics.forward]]
        to = "{gone}"
        interval_seconds = 1
        """
    )
    emitter = node.emitter(EMITTER)
    emitter.until("done")
    expected = {
        "node.jobs_total;region=north;topic=compute": 3,
        "node.jobs_total;region=north;topic=volume": 4,
        "node.latency_bucket;le=0.5;region=north": 0,
        "node.latency_bucket;le=1.0;region=north": 1,
        "node.latency_bucket;le=+Inf;region=north": 1,
        "node.latency_count;region=north": 1,
        "node.latency_sum;region=north": 0.75,
    }

    def last() -> dict[str, float]:
        return {path: points[-1][1] for path, points in carbon.values(expected).items()}

    until(lambda: last() == expected, lambda: f"{last()}, {node.log}", SECONDS)
    until(lambda: account(node)[gone]["series_retries"] >= 1, lambda: node.log, SECONDS)
    numbers = account(node)
    assert all(map(is_exact, numbers.values())), numbers
    assert numbers[good]["series_sent"] >= 7
    assert numbers[gone]["series_sent"] == 0 < numbers[gone]["waiting_bytes"]
    listed = {each["to"]: each for each in json.loads(node.get("/api/v1/destinations"))}
    assert [each["kind"] for each in listed.values()] == ["series", "series"]
    assert (listed[good]["problem"], listed[good]["failing_seconds"]) == ("", None)
    assert "Connection refused" in listed[gone]["problem"]
    assert listed[gone]["failing_seconds"] > 0
    assert "Connection refused" in node.get("/").decode()
    emitter.end()
    node.stop()
    reserved.release()
    said = [line for line in node.log.splitlines() if "not forwarded" in line]
    assert len(said) == 1
    assert "Connection refused" in said[0]


def test_a_collector_that_ends_sends_what_has_grown(node: Node, folder: Path) -> None:
    """Check that a restart counts nothing twice, and that nothing is missing."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(folder / "s"))
    receiver.settimeout(SECONDS)
    config = f"""
        [[metrics.forward]]
        to = "statsd+unix://{folder}/s"
        interval_seconds = 3600
        families = ["jobs", "ready"]
        """
    try:
        node.start(config)
        emitter = node.emitter(
            """
            shmetrics.Gauge("ready", "In every snapshot", multiprocess_mode="livesum").set(1)
            counter = shmetrics.Counter("jobs", "Jobs")
            for n in (5, 2):
                counter.inc(n)
                while not shmetrics.status()["connected"]:
                    counter.inc(0)
                pause("counted")
            """
        )
        emitter.until("counted")
        node.stop()
        assert receiver.recv(4096) == b"jobs_total:5.0|c\nready:1.0|g"
        node.start(config)
        assert receiver.recv(4096) == b"ready:1.0|g"  # what comes after the first snapshot is sent
        emitter.go()
        emitter.until("counted")
        until(lambda: node.samples().value("jobs_total") == 7, lambda: node.log, SECONDS)
        node.stop()
        assert receiver.recv(4096) == b"jobs_total:2.0|c\nready:1.0|g"
        node.start()
        emitter.end()
    finally:
        receiver.close()
