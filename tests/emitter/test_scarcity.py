# SPDX-License-Identifier: Apache-2.0
"""No memory, no descriptors: the host notices nothing, and what was lost is counted."""

from __future__ import annotations

import pytest

from tests.nodes.node import Node

# Fails one allocation after the other of everything that an emitter does: once only that one, and
# once all from there on. What fails in the caller, before a call of ours or after it, is the
# caller's: a traceback that goes through none of our files.
NOMEMORY = """
import _testcapi, gc

def ours(error):
    at = error.__traceback__
    while at is not None:
        if "shmetrics" in at.tb_frame.f_code.co_filename:
            return True
        at = at.tb_next
    return False

def starve(what, operation, only_one):
    failed = 0
    for n in range(1, 200):
        raised = None
        _testcapi.set_nomemory(n, n + 1 if only_one else 0)
        try:
            operation()
        except MemoryError as error:
            raised = error
        finally:
            _testcapi.remove_mem_hooks()
        if raised is None and n > 150:
            break
        if raised is not None:
            assert not ours(raised), (what, n, only_one)
            failed += 1
    return failed

class Number:
    def __float__(self):
        return 1.5

number, names = Number(), [f"label {n}" for n in range(3000)]
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
busy = shmetrics.Gauge("busy", "Busy", ["queue"])
size = shmetrics.Histogram("size", "Sizes", ["queue"])
rpc = shmetrics.Calls("rpc", "Calls", ["method"])
job, gauge, histogram, call = (each.labels("a") for each in (jobs, busy, size, rpc))

def with_block():
    with call():
        pass

def with_exception():
    try:
        with call():
            raise KeyError
    except KeyError:
        pass

def timed_block():
    with histogram.time():
        pass

def nested_blocks():
    block = gauge.time()
    with block, block:
        pass

def counted_block():
    try:
        with job.count_exceptions():
            raise KeyError
    except KeyError:
        pass

decorated = histogram.time()(abs)

OPERATIONS = {
    "inc": lambda: job.inc(),
    "inc a number": lambda: job.inc(number),
    "inc nonsense": lambda: job.inc("x"),
    "set": lambda: gauge.set(2.5),
    "observe": lambda: histogram.observe(2.5),
    "start and end": lambda: call.end(call.start()),
    "end with an exception": lambda: call.end(call.start(), names.pop()),
    "with": with_block,
    "with an exception": with_exception,
    "timed": timed_block,
    "timed twice": nested_blocks,
    "counted": counted_block,
    "tracked": lambda: gauge.track_inprogress().__enter__(),
    "a known child": lambda: jobs.labels("a").inc(),
    "a child that leaves": lambda: jobs.remove(jobs.labels(names.pop()) and "b"),
    "all children leave": lambda: size.clear(),
    "labels": lambda: jobs.labels(names.pop()).inc(),
    "labels by name": lambda: jobs.labels(queue=names.pop()).inc(),
    "wrong labels": lambda: jobs.labels().inc(),
    "labels of calls": lambda: rpc.labels(names.pop()).start(),
    "labels of a gauge": lambda: busy.labels(names.pop()).set(1),
}
for what, operation in OPERATIONS.items():
    for only_one in (True, False):
        starve(what, operation, only_one)
before = shmetrics.status()["recorded"]
job.inc()
assert shmetrics.status()["recorded"] == before + 1
dropped = shmetrics.status()["dropped"]
assert dropped["no_memory"] > 50, dropped
"""


def test_no_failing_allocation_is_raised(node: Node) -> None:
    pytest.importorskip("_testcapi", reason="this Python comes without its own test helpers")
    node.start()
    node.run(NOMEMORY)
    node.until_no_lane()


LIMITS = """
import mmap, resource
from tests.servers.patience import until  # now: later there may be no descriptor for it

def limit(what, soft):
    resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))

def mapped_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * mmap.PAGESIZE

jobs = shmetrics.Counter("jobs", "Jobs")
"""


# Asks for a lane until the problem shows, and once there is enough, until there is a lane.
LOSE_NOTHING = """
from shmetrics.emitter.process import registration

def attended():
    registration.attend()
    return shmetrics.status()

for n in range(100):
    jobs.inc()
until(lambda: attended()["problem"].startswith({problem!r}), shmetrics.status, 30)
assert shmetrics.status()["recorded"] == 100, shmetrics.status()
limit(resource.{limit}, resource.getrlimit(resource.{limit})[1])
until(lambda: attended()["connected"], shmetrics.status, 30)
jobs.inc()
status = shmetrics.status()
assert status["dropped"] == {{}} and not status["registration_errors"], status
"""


def test_without_memory_for_a_lane_events_are_counted_as_lost(node: Node) -> None:
    node.run(
        LIMITS
        + """
limit(resource.RLIMIT_AS, mapped_bytes())
for n in range(10):
    jobs.inc()
assert shmetrics.status()["recorded"] == 0, shmetrics.status()
limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
jobs.inc()
status = shmetrics.status()
assert status["recorded"] == 1 and status["dropped"] == {"no_memory": 10}, status
"""
    )


def test_a_lane_that_cannot_be_mapped_is_not_used_and_the_next_one_is(node: Node) -> None:
    """And what was recorded before comes along."""
    node.start()
    node.run(
        LIMITS
        + """
limit(resource.RLIMIT_AS, mapped_bytes() + 600_000)  # a private lane, and no shared one
"""
        + LOSE_NOTHING.format(problem="the lane could not be used: ", limit="RLIMIT_AS")
    )
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 101


@pytest.mark.parametrize(
    ("free", "problem"),
    [
        (0, "no collector: [Errno 24]"),
        (1, "no collector: a grant without its descriptor"),
    ],
)
def test_without_descriptors_a_process_goes_on_alone(node: Node, free: int, problem: str) -> None:
    """free: how many it may still open. Once there are some it gets its lane."""
    node.start()
    node.run(
        LIMITS
        + f"""
lowest = os.open("/", os.O_RDONLY)
os.close(lowest)
limit(resource.RLIMIT_NOFILE, lowest + {free})
"""
        + LOSE_NOTHING.format(problem=problem, limit="RLIMIT_NOFILE")
    )
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 101
