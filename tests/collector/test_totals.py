# SPDX-License-Identifier: Apache-2.0
"""Four processes, two million events: every counter, sum and bucket, against plain Python."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.nodes.node import Node
from tests.nodes.samples import OPENMETRICS, Samples

PROCESSES = 4
ROUNDS = 100_000  # of five events each: a count, an observation, a start, an end, a count
LABELS = (("nova", "build"), ("neutron", "plug"))
BOUNDS = (0.25, 0.5, 1.0, 4.0)
EXCEPTIONS = (None, None, "KeyError", "ValueError", None)

EMIT = f"""
ROUNDS, LABELS, BOUNDS, EXCEPTIONS = {ROUNDS}, {LABELS}, {BOUNDS}, {EXCEPTIONS}
seed = int(os.environ["SEED"])
names = ["service", "method"]
jobs = [shmetrics.Counter("jobs", "Jobs", names).labels(*values) for values in LABELS]
size = [shmetrics.Histogram("size", "Sizes", names, buckets=BOUNDS).labels(*v) for v in LABELS]
calls = [shmetrics.Calls("rpc", "Calls", names).labels(*values) for values in LABELS]
for n in range(ROUNDS):
    at = (n ^ seed) & 1
    jobs[at].inc(((n * 31 + seed) & 2047) / 1024)
    size[at].observe(((n * 97 + seed) & 8191) / 1024)
    call = calls[at].start()
    calls[at].end(call, EXCEPTIONS[(n + seed) % 5])
    jobs[at].inc()
assert shmetrics.status()["dropped"] == {{}}, shmetrics.status()
"""


class Twin:
    """The same events, added up the slow way. All values are multiples of 1/1024: sums are exact
    in any order."""

    def __init__(self) -> None:
        self.jobs: Counter[int] = Counter()
        self.sums: Counter[int] = Counter()
        self.buckets: Counter[tuple[int, int]] = Counter()
        self.calls: Counter[int] = Counter()
        self.exceptions: Counter[tuple[int, str | None]] = Counter()

    def emit(self, seed: int) -> None:
        for n in range(ROUNDS):
            at = (n ^ seed) & 1
            self.jobs[at] += ((n * 31 + seed) & 2047) + 1024
            size = (n * 97 + seed) & 8191
            self.sums[at] += size
            self.buckets[at, bisect_left(BOUNDS, size / 1024)] += 1
            self.calls[at] += 1
            self.exceptions[at, EXCEPTIONS[(n + seed) % 5]] += 1

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        for at, (service, method) in enumerate(LABELS):
            labels = {"service": service, "method": method}
            yield "jobs_total", labels, self.jobs[at] / 1024
            yield "size_sum", labels, self.sums[at] / 1024
            count = 0
            for bucket, bound in enumerate([*map(str, BOUNDS), "+Inf"]):
                count += self.buckets[at, bucket]
                yield "size_bucket", {**labels, "le": bound}, count
            yield "size_count", labels, count
            yield "rpc_invocation_start_total", labels, self.calls[at]
            yield "rpc_invocation_end_total", labels, self.calls[at]
            yield "rpc_processing_seconds_count", labels, self.calls[at]
            yield "rpc_processing_seconds_bucket", {**labels, "le": "+Inf"}, self.calls[at]
            for name in {name for name in EXCEPTIONS if name}:
                found = self.exceptions[at, name]
                yield "rpc_exception_total", {**labels, "exception": name}, found


@pytest.fixture(scope="module")
def twin() -> Twin:
    found = Twin()
    for seed in range(PROCESSES):
        found.emit(seed)
    return found


def difference(found: Samples, twin: Twin) -> list[tuple[str, dict[str, str], float, float | None]]:
    """Return the samples that differ from the twin's: name, labels, expected, found."""
    return [
        (name, labels, expected, found.get((name, tuple(sorted(labels.items())))))
        for name, labels, expected in twin.samples()
        if found.get((name, tuple(sorted(labels.items())))) != expected
    ]


def test_two_million_events_of_four_processes_are_exact(node: Node, twin: Twin) -> None:
    node.start()
    emitters = [node.emitter(EMIT, SEED=str(seed)) for seed in range(PROCESSES)]
    for emitter in emitters:
        emitter.end()
    node.until_no_lane()
    found = node.samples()
    assert difference(found, twin) == []
    assert found.of("rpc_exception_total").keys() == {
        (("exception", name), ("method", method), ("service", service))
        for name in ("KeyError", "ValueError")
        for service, method in LABELS
    }
    assert sum(found.of("jobs_total").values()) == sum(twin.jobs.values()) / 1024
    assert found.sum("shmetrics_events_total") + found.sum("shmetrics_spilled_total") == 2_000_000
    assert found.counted("shmetrics_dropped_total") == {}
    assert found.of("shmetrics_rpc_abandoned_total") == {}
    assert difference(node.samples(OPENMETRICS), twin) == []


def test_a_scrape_shows_what_was_recorded_before_it(node: Node) -> None:
    """Check that events are shown without a tick, and only once."""
    node.start("tick_seconds = 60")
    emitter = node.emitter(
        """
        jobs = shmetrics.Counter("jobs", "Jobs")
        for n in range(3):
            jobs.inc(1000)
            pause("recorded")
        """
    )
    for scrape in range(3):
        emitter.until("recorded")
        assert node.samples().value("jobs_total") == 1000 * (scrape + 1)
        emitter.go()
    emitter.end()


def test_an_open_call_is_listed_as_soon_as_it_has_begun(node: Node) -> None:
    """Check a call whose labels may have come a moment before the question."""
    node.start("tick_seconds = 60")
    emitter = node.emitter(
        """
        call = shmetrics.Calls("rpc", "Calls", ["method"]).labels("build").start()
        pause("open")
        """
    )
    emitter.until("open")
    [call] = node.calls()
    assert (call["labels"], call["pid"]) == ({"method": "build"}, emitter.pid)
    emitter.go()
    emitter.end()
