# SPDX-License-Identifier: Apache-2.0
"""Quantiles that a real Prometheus makes of native histograms, beside the exact ones.

The upper bound of a native bucket of schema 3 is 2**(1/8) times the lower one. Prometheus finds the
bucket that a quantile is in, and goes into it by linear interpolation: its answer lies in the
bucket of the exact value, anywhere, and is off by the bucket's width at most, 9.05 %. Half of that
would hold for the bucket's geometric middle, which is not what Prometheus answers.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.collector import Collector
from tests.servers.prometheus import Prometheus

FEATURES = ("native-histograms", "exemplar-storage")
BUCKET = 2 ** (1 / 8)
QUANTILES = (0.5, 0.9, 0.99)
# No quantile falls between two values, where versions of Prometheus take either of them.
N = 1999
CALLS = 199
# Few enough to find room in the ring: what is spilled is known by its classic bucket only.
BATCH = 500
TRACE = "0123456789abcdef0123456789abcdef"

EMIT = """
import json, os, sys, time
import shmetrics
from shmetrics import rpc

size = shmetrics.Histogram("size", "Sizes", ["kind"])
call = rpc.client_call(call_type="call", topic="compute", method="build")
size.labels("early").observe(1.0)
while not shmetrics.status()["connected"]:
    time.sleep(0.01)
    size.labels("early").observe(1.0)
size.labels("traced").observe(0.3, exemplar={"trace_id": os.environ["TRACE"]})
print("connected", flush=True)
now = time.monotonic_ns
for line in sys.stdin:
    within, without = [], []
    for kind, value in json.loads(line):
        if kind != "call":
            size.labels(kind).observe(value)
            continue
        times = [now()]
        token = call.start()
        times.append(now())
        time.sleep(value)
        times.append(now())
        call.end(token)
        times.append(now())
        within.append((times[2] - times[1]) / 1e9)
        without.append((times[3] - times[0]) / 1e9)
    print(json.dumps([within, without]), flush=True)
"""


def drawn() -> dict[str, list[float]]:
    """Return values of several shapes."""
    chance = random.Random(11)
    bounds = [bound * 2.0**power for power in range(-9, 7) for bound in (1.0, BUCKET, 1.25)]
    return {
        "lognormal": [chance.lognormvariate(-4, 1.2) for _ in range(N)],
        "uniform": [chance.uniform(0.001, 3) for _ in range(N)],
        "two hills": [
            chance.gauss(*((0.01, 0.0005) if chance.random() < 0.8 else (2, 0.1))) for _ in range(N)
        ],
        "on bounds": [chance.choice(bounds) for _ in range(N)],
        "all the same": [0.25] * N,
    }


class Emitter:
    """A process that records what it is told."""

    def __init__(self, collector: Collector, log: Path) -> None:
        self._collector = collector
        told = {"SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir), "TRACE": TRACE}
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", EMIT],
                env={**os.environ, **told},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._said() == "connected\n", log.read_text()

    def record(self, events: list[tuple[str, float]]) -> tuple[list[float], list[float]]:
        """Record and drain; return the shortest and the longest time that each call may
        have taken."""
        assert self._process.stdin is not None
        within, without = [], []
        for at in range(0, len(events), BATCH):
            self._process.stdin.write(json.dumps(events[at : at + BATCH]) + "\n")
            self._process.stdin.flush()
            less, more = json.loads(self._said())
            within += less
            without += more
            with urllib.request.urlopen(f"{self._collector.url}/metrics", timeout=60) as answer:
                answer.read()
        return within, without

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture
def emitter(collector: Collector, tmp_path: Path) -> Iterator[Emitter]:
    emitter = Emitter(collector, tmp_path / "emitter.log")
    yield emitter
    emitter.end()


def exact(values: list[float], quantile: float) -> float:
    return sorted(values)[math.ceil(quantile * len(values)) - 1]


def one(samples: list[tuple[dict[str, str], float]]) -> float:
    ((_, value),) = samples
    return value


def test_quantiles_are_right_within_a_bucket(
    prometheus: Callable[..., Prometheus], collector: Collector, emitter: Emitter
) -> None:
    values = drawn()
    for kind, some in values.items():
        emitter.record([(kind, value) for value in some])
    chance = random.Random(12)
    naps = [("call", 0.02 * chance.random() ** 3) for _ in range(CALLS)]
    within, without = emitter.record(naps)

    there = prometheus(f"{collector.url}/metrics", FEATURES)
    seconds = "oslo_messaging_rpc_client_processing_seconds"
    there.wait_for(f"histogram_count({seconds}) == {CALLS}")
    for kind, some in values.items():
        only = f'size{{kind="{kind}"}}'
        assert one(there.samples(f"histogram_count({only})")) == N
        assert one(there.samples(f"histogram_sum({only})")) == pytest.approx(sum(some))
        for quantile in QUANTILES:
            found = one(there.samples(f"histogram_quantile({quantile}, {only})"))
            assert 1 / BUCKET < found / exact(some, quantile) < BUCKET, (kind, quantile)
    for quantile in QUANTILES:
        found = one(there.samples(f"histogram_quantile({quantile}, {seconds})"))
        assert exact(within, quantile) / BUCKET < found < exact(without, quantile) * BUCKET

    only_native = {"params": {"native_only": ["true"]}}
    same = prometheus(f"{collector.url}/metrics", FEATURES, only_native)
    same.wait_for(f"histogram_count({seconds}) == {CALLS}")
    for query in (seconds, "size"):
        for quantile in QUANTILES:
            expression = f"histogram_quantile({quantile}, {query})"
            assert same.samples(expression) == there.samples(expression)
    # They come as native histograms, and only so.
    assert there.samples("size_bucket") == []
    # Only what came before there was a lane is known by its classic bucket.
    coarse = there.samples("shmetrics_coarse_observations_total > 0")
    assert sum(n for _, n in coarse) <= one(there.samples('histogram_count(size{kind="early"})'))
    (traced,) = exemplars(there)
    assert traced["seriesLabels"]["kind"] == "traced"
    (exemplar,) = traced["exemplars"]
    assert (exemplar["labels"], float(exemplar["value"])) == ({"trace_id": TRACE}, 0.3)


def exemplars(there: Prometheus) -> list[dict[str, Any]]:
    """Return the exemplars that Prometheus has of the sizes."""
    now = time.time()
    span = {"start": str(now - 600), "end": str(now + 600)}
    found: list[dict[str, Any]] = there.get("query_exemplars", query="size", **span)
    return found
