# SPDX-License-Identifier: Apache-2.0
"""Refusals of the collector in the log of the service: metric, cause and remedy, in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.nodes.node import Emitter, Node

pytestmark = pytest.mark.slow

# hears(n) observes until so many lines are logged, and prints them.
LISTEN = """
import json, logging, time

lines = []

class Keep(logging.Handler):
    def emit(self, record):
        lines.append(f"{record.levelname} {record.getMessage()}")

logging.getLogger("shmetrics").addHandler(Keep())
ticks = shmetrics.Histogram("ticks", "Ticks").labels()

def hears(n):
    while len(lines) < n:
        ticks.observe(1)
        time.sleep(0.01)
    pause(json.dumps(lines))
"""

# What is refused, by a limit of the collector's if need be: the code, the limit, and the line.
REFUSALS = {
    "reserved name": (
        'shmetrics.Counter("process_jobs", "Jobs").inc()',
        "",
        "process_jobs: refused: metric name 'process_jobs' belongs to the collector; choose "
        "a name that begins with none of shmetrics_, process_, python_",
    ),
    "label name": (
        'shmetrics.Histogram("size", "Size", ["le"]).labels("1").observe(1)',
        "",
        "size: refused: label le is reserved; choose other label names",
    ),
    "unit": (
        'shmetrics.Counter("jobs", "Jobs", unit="a b").inc()',
        "",
        "jobs_a b: refused: unit 'a b' is not [a-zA-Z0-9_:]*; let the name end with the unit",
    ),
    "mode": (
        'shmetrics.Gauge("depth", "Depth", multiprocess_mode="odd").set(1)',
        "",
        "depth: refused: multiprocess_mode 'odd' is unknown; choose one of all, sum, min, max and "
        "mostrecent, or one with live in front",
    ),
    "buckets": (
        'shmetrics.Histogram("size", "Size", buckets=[2, 1]).observe(1)',
        "",
        "size: refused: bounds are not finite and ascending; give at most 512 bounds, each larger "
        "than the one before",
    ),
    "families of a lane": (
        """
for i in range(4):
    shmetrics.Counter(f"jobs_{i}", "Jobs").inc()
""",
        "[store]\nmax_families_per_lane = 4\n",
        "jobs_3: refused: more than 4 families in one lane; see store.max_families_per_lane",
    ),
    "series of a lane": (
        """
jobs = shmetrics.Counter("jobs", "Jobs", ["id"])
for i in range(20):
    jobs.labels(i).inc()
""",
        "[store]\nmax_series_per_lane = 8\n",
        "jobs: the process has 8 series; further ones are counted as __overflow__; see "
        "store.max_series_per_lane and [[labels]]",
    ),
    "series of a family": (
        """
jobs = shmetrics.Counter("jobs", "Jobs", ["id"])
for i in range(20):
    jobs.labels(i).inc()
""",
        "[store]\nmax_series_per_family = 8\n",
        "jobs: one user has 8 series of it; further ones are counted as __overflow__; see "
        "store.max_series_per_family and [[labels]]",
    ),
    "label bytes": (
        'shmetrics.Counter("jobs", "Jobs", ["id"]).labels("x" * 100).inc()',
        "[store]\nmax_label_bytes = 64\n",
        "jobs: a label value of more than 64 bytes; further ones are counted as __overflow__; see "
        "store.max_label_bytes and [[labels]]",
    ),
}


def listener(node: Node, code: str, more: str) -> Emitter:
    return node.emitter(f"{LISTEN}\nticks.observe(1)\n{code}\n{more}")


def heard(emitter: Emitter) -> Any:
    return json.loads(emitter.said())


@pytest.mark.parametrize("what", list(REFUSALS))
def test_a_service_hears_what_is_refused(node: Node, what: str) -> None:
    """Check a service that only observes, and its status."""
    code, config, line = REFUSALS[what]
    node.start(config)
    emitter = listener(
        node,
        code,
        """
hears(1)
pause(json.dumps(shmetrics.status()["problems"]))
for _ in range(10_000):
    ticks.observe(1)
pause(json.dumps(lines))
""",
    )
    assert heard(emitter) == [f"WARNING {line}"]
    emitter.go()
    [problem] = heard(emitter)
    assert f"{problem['metric']}: {problem['cause']}; {problem['mend']}" == line
    node.stop()
    node.start(config)  # which does not repeat it
    node.run('shmetrics.Counter("other", "Other").inc()')
    assert node.samples().value("other_total") == 1  # and all lanes are drained
    emitter.go()
    assert heard(emitter) == [f"WARNING {line}"]
    emitter.go()
    assert emitter.end() == ""


CONFLICT = """
jobs = shmetrics.Gauge("jobs", "Jobs", multiprocess_mode="livesum")
jobs.set(1)
hears(1)
while shmetrics.status()["problems"]:
    ticks.observe(1)
    time.sleep(0.01)
pause(len(lines))
"""


def test_a_conflict_is_over_when_the_other_process_ends(node: Node) -> None:
    node.start()
    first = node.emitter('shmetrics.Counter("jobs", "Jobs").inc()\npause("counts")')
    first.until("counts")
    second = listener(node, "", CONFLICT)
    [line] = heard(second)
    assert line.startswith("WARNING jobs: refused: type gauge contradicts counter, which ")
    assert line.endswith("; rename one of them; it counts as soon as the name is free")
    first.go()
    first.end()
    second.go()
    second.until("1")
    assert node.samples().value("jobs") == 1
    second.go()
    second.end()


def test_more_than_a_lane_can_tell_is_in_the_collectors_log(node: Node) -> None:
    node.start("[store]\nmax_families_per_lane = 4\n")
    emitter = listener(
        node,
        """
for i in range(60):
    shmetrics.Counter(f"jobs_{i}", "Jobs").inc()
""",
        """
while not any("collector's log" in line for line in lines):
    ticks.observe(1)
    time.sleep(0.01)
pause(json.dumps(lines))
""",
    )
    *told, last = heard(emitter)
    assert len(told) == len(set(told)) > 10
    assert last == "WARNING shmetrics: there is more than a lane can tell; see the collector's log"
    emitter.go()
    assert emitter.end() == ""
