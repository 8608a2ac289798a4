# SPDX-License-Identifier: Apache-2.0
"""A metric's problem is in the log of the service, in one line, and in its status()."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.nodes.node import Emitter, Node

pytestmark = pytest.mark.slow

PREPARE = """
import json, logging, math, time

lines = []

class Keep(logging.Handler):
    def emit(self, record):
        lines.append(f"{record.levelname} {record.getMessage()}")

logging.getLogger("shmetrics").addHandler(Keep())

def wait_for(n):
    while len(lines) < n:
        time.sleep(0.005)
"""

BAD_VALUE = (
    "dropped: a value that is negative, infinite or no number; add numbers of at least 0 to a "
    "counter, set a gauge to a number, and observe finite ones"
)
BAD_TOTAL = (
    "dropped: a total that is lower than before, negative, infinite or no number; call "
    "new_generation() where the counter was reset, and set_totals() with one double each"
)
BAD_EXEMPLAR = (
    "an exemplar is not kept as it is, but the event counts; give "
    '{"trace_id": 32 hexadecimal digits}, with "span_id" (16 digits) or without, only'
)
MISTAKES = {
    "an exemplar without a trace": (
        'shmetrics.Counter("jobs", "Jobs").inc(1, {"user": "x"})',
        BAD_EXEMPLAR,
    ),
    "an exemplar with more than a trace": (
        'shmetrics.Histogram("jobs", "Jobs").observe(1, {"trace_id": "a" * 32, "user": "x"})',
        BAD_EXEMPLAR,
    ),
    "a call's exemplar that is a text": (
        'with shmetrics.Calls("jobs", "Jobs", ["queue"]).labels("fast").traced("x"): pass',
        BAD_EXEMPLAR,
    ),
    "a negative total": ('shmetrics.ObservedCounter("jobs", "Jobs").set_total(-1)', BAD_TOTAL),
    "a total that falls": (
        'jobs = shmetrics.ObservedCounter("jobs", "Jobs"); jobs.set_total(2); jobs.set_total(1)',
        BAD_TOTAL,
    ),
    "a negative generation": (
        'shmetrics.ObservedCounter("jobs", "Jobs").new_generation(-1)',
        BAD_TOTAL,
    ),
    "totals that are no buffer": (
        'shmetrics.ObservedCounter("jobs", "Jobs", ["queue"]).array(["fast"]).set_totals(5)',
        BAD_TOTAL,
    ),
    "negative": ('shmetrics.Counter("jobs", "Jobs").inc(-1)', BAD_VALUE),
    "infinite": ('shmetrics.Histogram("jobs", "Jobs").observe(math.inf)', BAD_VALUE),
    "not a number": ('shmetrics.Histogram("jobs", "Jobs").observe(math.nan)', BAD_VALUE),
    "a text": ('shmetrics.Gauge("jobs", "Jobs").set("many")', BAD_VALUE),
    "a label too few": (
        'shmetrics.Counter("jobs", "Jobs", ["queue", "host"]).labels("fast").inc()',
        "dropped: wrong labels, or a value that is no text; give one value for each of its labels: "
        "queue, host",
    ),
    "another label": (
        'shmetrics.Counter("jobs", "Jobs", ["queue"]).labels(host="h").inc()',
        "dropped: wrong labels, or a value that is no text; give one value for each of its labels: "
        "queue",
    ),
    "labels forgotten": (
        'shmetrics.Counter("jobs", "Jobs", ["queue"]).inc()',
        "dropped: wrong labels, or a value that is no text; give one value for each of its labels: "
        "queue",
    ),
    "labels of a child": (
        'shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast").labels("slow").inc()',
        "dropped: label values for a child or a timer that has its own; call labels() of the "
        "metric, once, with all its values",
    ),
    "labels of a child's timer": (
        'shmetrics.Histogram("jobs", "Jobs", ["queue"]).labels("fast").time().labels("slow")',
        "dropped: label values for a child or a timer that has its own; call labels() of the "
        "metric, once, with all its values",
    ),
    "a long definition": (
        'shmetrics.Counter("jobs", "x" * 20_000).inc()',
        "dropped: its definition has more than 16384 bytes; give it a shorter help text, or fewer "
        "labels or buckets",
    ),
    "a long label value": (
        'shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("x" * 20_000).inc()',
        "label values that are too long or too many are counted as __overflow__; give its labels "
        "fewer and shorter values, or see [[labels]]",
    ),
    "a call of another process": (
        """
calls = shmetrics.Calls("jobs", "Jobs", ["queue"]).labels("fast")
call = calls.start()
if os.fork():
    os.wait()
    sys.exit()
calls.end(call)
""",
        "dropped: the end of a call in a process that did not start it; end calls before "
        "os.fork(), or in the parent",
    ),
}


def heard(emitter: Emitter) -> Any:
    return json.loads(emitter.said())


@pytest.mark.parametrize("has_collector", [True, False])
@pytest.mark.parametrize("what", list(MISTAKES))
def test_one_line_in_the_log(node: Node, what: str, has_collector: bool) -> None:
    """However often a mistake is made, and without status()."""
    if has_collector:
        node.start()
    code, text = MISTAKES[what]
    code = "ok = shmetrics.Histogram('ok', 'Ok')\nok.observe(1)\n" + code
    more = "ok.observe(1)\nwait_for(1)\nok.observe(1)\npause(json.dumps(lines))"
    status = "pause(json.dumps(shmetrics.status()['problems']))"
    if "fork" not in code:
        code += "\n" + code
    emitter = node.emitter(f"{PREPARE}\n{code}\n{more}\n{status}")
    assert heard(emitter) == [f"WARNING jobs: {text}"]
    emitter.go()
    cause, mend = text.split("; ", 1)
    assert heard(emitter) == [{"metric": "jobs", "cause": cause, "mend": mend}]
    emitter.go()
    emitter.end()


def test_what_the_last_event_does_is_logged_at_the_exit(node: Node) -> None:
    said = node.run(
        """
import logging
logging.getLogger("shmetrics").addHandler(logging.StreamHandler(sys.stdout))
shmetrics.Counter("jobs", "Jobs").inc(-1)
"""
    )
    assert said == f"jobs: {BAD_VALUE}\n"


def test_a_handler_that_records_wrongly_itself(node: Node) -> None:
    """Each of its own mistakes is logged once, too."""
    node.start()
    said = node.run(
        f"""{PREPARE}
class Wrong(logging.Handler):
    def emit(self, record):
        shmetrics.Counter("logged", "Lines", ["level"]).inc()
        shmetrics.Counter("lines", "Lines").inc(-1)

logging.getLogger("shmetrics").addHandler(Wrong())
shmetrics.Counter("jobs", "Jobs").inc(-1)
wait_for(3)
time.sleep(0)
print(sorted(line.split(":")[0] for line in lines))
"""
    )
    assert said == "['WARNING jobs', 'WARNING lines', 'WARNING logged']\n"


def test_a_service_that_records_while_it_logs_is_not_blocked(node: Node) -> None:
    """A record may come while the very lock is held that a line in the log needs."""
    node.start()
    said = node.run(
        f"""{PREPARE}
import threading
lock = threading.Lock()

class Locked(logging.Handler):
    def emit(self, record):
        with lock:
            lines.append(record.getMessage())

logging.getLogger("shmetrics").handlers[:] = [Locked()]
with lock:
    shmetrics.Counter("jobs", "Jobs").inc(-1)
    shmetrics.Counter("jobs", "Jobs").inc(1)
    print(len(lines))
wait_for(1)
"""
    )
    assert said == "0\n"


def test_a_child_tells_its_own_problems(node: Node) -> None:
    node.start()
    said = node.run(
        f"""{PREPARE}
jobs = shmetrics.Counter("jobs", "Jobs")
jobs.inc(-1)
wait_for(1)
child = os.fork()
if not child:
    lines.clear()
    print(shmetrics.status()["problems"], flush=True)
    jobs.inc(1)
    jobs.inc(-1)
    wait_for(1)
    print(lines[0][:13], flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    )
    assert said == "[]\nWARNING jobs:\n"


def test_nothing_is_said_where_nothing_is_recorded(node: Node) -> None:
    said = node.run(
        f"""{PREPARE}
shmetrics.Counter("jobs", "Jobs").inc(-1)
shmetrics.Counter("other", "Jobs", ["queue"]).inc()
print(lines, shmetrics.status()["problems"])
""",
        SHMETRICS_DISABLE="1",
    )
    assert said == "[] []\n"


def test_a_process_says_only_so_much(node: Node) -> None:
    node.start()
    said = node.run(
        f"""{PREPARE}
for i in range(1000):
    shmetrics.Counter(f"jobs_{{i}}", "Jobs").inc(-1)
wait_for(101)
print(len(shmetrics.status()["problems"]), lines[-1])
"""
    )
    assert (
        said == "101 WARNING shmetrics: there are more problems than are kept; mend these first\n"
    )
