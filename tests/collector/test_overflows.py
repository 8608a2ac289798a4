# SPDX-License-Identifier: Apache-2.0
"""The report of label sets that overflow: everywhere, once, with family, process and the option to
change. It ends when there is room again."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.nodes.node import Emitter, Node
from tests.servers.processes import until

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """A quota, and its texts: in the service, and from the collector."""

    config: str
    hosts: int  # label sets that the service has
    cause: str
    option: str
    own_cause: str = ""  # if the service says it otherwise


CASES = {
    "series of a lane": Case(
        "[store]\nmax_series_per_lane = 100\n",
        300,
        "the process has 100 series; further ones are counted as __overflow__",
        "store.max_series_per_lane",
    ),
    "series of a family": Case(
        "[store]\nmax_series_per_family = 100\n",
        300,
        "one user has 100 series of it; further ones are counted as __overflow__",
        "store.max_series_per_family",
    ),
    "store": Case(
        "[store]\nmax_bytes = 1_048_576\nmax_bytes_per_uid = 1_048_576\n",
        9000,
        "the store is full; further ones are counted as __overflow__",
        "store.max_bytes",
    ),
    "user's share of the store": Case(
        "[store]\nmax_bytes = 1_048_576\n",
        6000,
        "uid 0 has its share of the store; further ones are counted as __overflow__",
        "store.max_bytes_per_uid",
    ),
    "bytes of lanes": Case(
        "[registration]\nmax_lane_bytes = 530_000\n",
        6000,
        "no room in its lane for more label values; further ones are counted as __overflow__",
        "registration.max_lane_bytes",
        "no room for more label values: further ones are counted as __overflow__",
    ),
}

# until() goes on recording: an idle process hears nothing, and does not look for a larger lane.
SERVICE = """
import json, logging, time
import shmetrics.emitter.process
from shmetrics import _ring

shmetrics.emitter.process.RETRY_NS = {retry_ns}
lines = []

class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())

logging.getLogger("shmetrics").addHandler(Keep())
jobs = shmetrics.Counter("jobs", "Jobs", ["host"])

def problems():
    return shmetrics.status()["problems"]

def record(numbers):
    for n in numbers:
        jobs.labels(f"host {{n}}").inc()

def until(true):
    while not true() or _ring.process_status()["waits"]:
        jobs.labels("host 0").inc(0)
        time.sleep(0.001)
"""
FOR_EVER_NS = 10**15


def service(node: Node, code: str, retry_ns: int = FOR_EVER_NS) -> Emitter:
    return node.emitter(SERVICE.format(retry_ns=retry_ns) + code, SHMETRICS_PROCESS="conductor")


def shmetrics(node: Node, command: str) -> list[str]:
    arguments = [command, "--runtime-dir", str(node.runtime_dir)]
    done = subprocess.run(
        [sys.executable, "-m", "shmetrics", *arguments], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", list(CASES))
def test_an_overflow_is_named_wherever_one_looks(node: Node, name: str) -> None:
    case = CASES[name]
    node.start(case.config)
    emitter = service(
        node,
        f"""
record(range({case.hosts}))
until(lambda: problems() and lines)
record(range({case.hosts}, {case.hosts + 100}))
until(lambda: lines)
pause(json.dumps([lines, problems()]))
pause(json.dumps([lines, problems()]))
""",
    )
    own_cause, mend = case.own_cause or case.cause, f"see {case.option} and [[labels]]"
    said = [
        [f"jobs: {own_cause}; {mend}"],
        [{"metric": "jobs", "cause": own_cause, "mend": mend}],
    ]
    assert json.loads(emitter.said()) == said
    until(lambda: node.samples().sum("jobs_total") == case.hosts + 100, node.lanes, 60)
    # the collector's log
    line = f"conductor (pid {emitter.pid}): jobs: {case.cause}; {mend}"
    assert [each for each in node.log.splitlines() if "jobs" in each] == [
        f"shmetrics: WARNING: {line}"
    ]
    # /metrics
    assert node.samples().value("shmetrics_series_overflow_total", family="jobs") > 0
    assert 0 < node.samples().value("jobs_total", host="__overflow__") < case.hosts + 100
    is_named(node, emitter, case.cause, mend)
    # and so it is after a restart, in no log a second time
    node.stop()
    node.start(case.config)
    until(lambda: node.samples().sum("jobs_total") == case.hosts + 100, node.lanes, 60)
    assert "jobs" not in node.log
    if case.own_cause:  # this collector was not asked for a larger lane, and has refused none
        is_named(
            node,
            emitter,
            "its label values are too many or too long for its lane; further ones are counted as "
            "__overflow__",
            f"see what the process itself logs, {case.option} and [[labels]]",
        )
    else:
        is_named(node, emitter, case.cause, mend)
    emitter.go()
    assert json.loads(emitter.said()) == said
    emitter.go()
    emitter.end()


def is_named(node: Node, emitter: Emitter, cause: str, mend: str) -> None:
    """Check that lanes, page and check name the process, the metric, the cause and the remedy."""
    [lane] = [lane for lane in node.lanes() if lane["overflows"]]
    line = f"lane {lane['lane']} (conductor, pid {emitter.pid}): jobs: {cause}; {mend}"
    assert shmetrics(node, "lanes")[-1] == line
    assert f"WRONG  {line}" in shmetrics(node, "check")
    page = html.unescape(node.get("/", "text/html").decode())
    _, _, problems = page.partition("Problems")
    row, _, _ = problems.partition("</table>")
    for text in ("jobs", cause, mend, "conductor", str(emitter.pid), str(lane["lane"])):
        assert f">{text}<" in row


# ---- it is over ----------------------------------------------------------------------------------

HEALING = """
record(range(3000))
until(lambda: problems() and lines)
pause(json.dumps([problems(), len(lines)]))
while problems():
    jobs.labels("host 2999").inc(0)  # it overflows, so that the process asks
    time.sleep(0.001)
record(range(3000, 3500))
until(lambda: True)
pause(json.dumps([problems(), len(lines)]))
"""
TOO_FEW_BYTES = "[registration]\nmax_lane_bytes = 530_000\n"


def overflowing(node: Node) -> Emitter:
    """Start a service that is refused a larger lane. It asks again every 0.1 s."""
    emitter = service(node, HEALING, retry_ns=100_000_000)
    problems, n_lines = json.loads(emitter.said())
    assert [problem["mend"] for problem in problems] == [
        "see registration.max_lane_bytes and [[labels]]"
    ]
    assert n_lines == 1
    return emitter


def has_healed(node: Node, emitter: Emitter) -> None:
    """Check that new events have their own labels; nothing is lost, and nothing is listed."""
    emitter.go()
    assert json.loads(emitter.said()) == [[], 1]
    until(lambda: node.samples().sum("jobs_total") == 3500, node.lanes, 60)
    found = node.samples()
    for host in range(3000, 3500):
        assert found.value("jobs_total", host=f"host {host}") == 1
    assert 0 < found.value("jobs_total", host="__overflow__") < 3000
    until(lambda: not any(lane["overflows"] for lane in node.lanes()), node.lanes, 60)
    assert "Problems" not in node.get("/", "text/html").decode()
    emitter.go()
    emitter.end()


def test_a_process_gets_its_larger_lane_when_the_quota_is_raised(node: Node) -> None:
    node.start(TOO_FEW_BYTES)
    emitter = overflowing(node)
    node.stop()
    node.start()
    has_healed(node, emitter)


def test_a_process_gets_its_larger_lane_when_another_ends(node: Node) -> None:
    node.start("[registration]\nmax_lane_bytes = 1_550_000\n")
    others = [
        node.emitter('shmetrics.Counter("other", "Other").inc()\npause("there")') for _ in range(2)
    ]
    for other in others:
        other.until("there")
    emitter = overflowing(node)
    for other in others:
        other.go()
        other.end()
    has_healed(node, emitter)


@pytest.mark.parametrize("name", ["series of a lane", "series of a family", "store"])
def test_label_sets_count_for_themselves_once_a_quota_is_raised(node: Node, name: str) -> None:
    """Check label sets that were folded before, too."""
    case = CASES[name]
    node.start(case.config)
    emitter = service(
        node,
        f"""
record(range({case.hosts}))
until(lambda: problems() and lines)
pause("overflows")
until(lambda: not problems())
record(range({case.hosts}))
until(lambda: True)
pause(len(lines))
""",
    )
    emitter.until("overflows")
    node.stop()
    node.start()
    emitter.go()
    emitter.until("1")
    until(lambda: node.samples().sum("jobs_total") == 2 * case.hosts, node.lanes, 60)
    found = node.samples()
    for host in range(case.hosts):
        assert found.value("jobs_total", host=f"host {host}") >= 1
    assert [lane["overflows"] for lane in node.lanes() if lane["overflows"]] == []
    emitter.go()
    emitter.end()
