# SPDX-License-Identifier: Apache-2.0
"""Forks: a child never writes to its parent's lane, and gets one of its own."""

from __future__ import annotations

import pytest

from tests.nodes.node import Node

CHILDREN = 16

PREFORK = f"""
import signal
jobs = shmetrics.Counter("jobs", "Jobs", ["who"])
parents, childs = jobs.labels("parent"), jobs.labels("child")
size = shmetrics.Histogram("size", "Sizes", buckets=(1, 2))
rpc = shmetrics.Calls("rpc", "Calls", ["method"]).labels("build")
recorded, may_go = os.pipe(), os.pipe()

def serve(number):
    for n in range(1000):
        childs.inc(0.5)
        size.observe(n % 3)
    with rpc():
        pass
    rpc.end(outer)  # the parent's to end
    assert shmetrics.status()["dropped"] == {{"foreign_call": 1}}
    rpc.start()  # and never ended
    os.write(recorded[1], b"x")
    os.close(may_go[1])
    os.read(may_go[0], 1)  # until the parent closes it
    if number % 4 == 0:
        os.kill(os.getpid(), signal.SIGKILL)

parents.inc()
outer = rpc.start()
pids = []
for number in range({CHILDREN}):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            serve(number)
            status = 0
        finally:
            os._exit(status)
    pids.append(pid)
    parents.inc()
assert sum(len(os.read(recorded[0], 1)) for pid in pids) == {CHILDREN}
pause("recorded")
os.close(may_go[1])
ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
assert ends == [0 if n % 4 else -9 for n in range({CHILDREN})], ends
pause("childless")
rpc.end(outer)
"""


def test_a_prefork_service_loses_and_doubles_nothing(node: Node) -> None:
    node.start()
    service = node.emitter(PREFORK)
    service.until("recorded")
    assert len({lane["pid"] for lane in node.lanes()}) == len(node.lane_files()) / 3 == CHILDREN + 1
    assert len(node.calls()) == CHILDREN + 1
    assert node.samples().value("jobs_total", who="child") == CHILDREN * 500
    service.go()
    service.until("childless")
    node.until_lanes(1)
    [outer] = node.calls()
    assert outer["pid"] == service.pid
    service.go()
    service.end()
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", who="parent") == CHILDREN + 1
    assert found.value("jobs_total", who="child") == CHILDREN * 500
    assert found.value("size_sum") == CHILDREN * 999
    assert [found.value("size_bucket", le=le) for le in ("1.0", "2.0", "+Inf")] == [
        CHILDREN * 667,
        CHILDREN * 1000,
        CHILDREN * 1000,
    ]
    assert found.value("rpc_invocation_start_total", method="build") == 1 + 2 * CHILDREN
    assert found.value("rpc_invocation_end_total", method="build") == 1 + CHILDREN
    assert found.sum("shmetrics_rpc_abandoned_total", method="build") == CHILDREN
    assert found.sum("shmetrics_rpc_in_flight") == 0
    assert found.value("shmetrics_dropped_total", cause="foreign_call") == CHILDREN
    assert found.value("shmetrics_lanes_retired_total") == CHILDREN + 1


FORKS = {
    "python": "os.fork()",
    "c": "ctypes.CDLL(None).fork()",
}


@pytest.mark.parametrize("how", FORKS)
def test_a_child_has_a_lane_of_its_own_however_it_was_forked(node: Node, how: str) -> None:
    """And so has a child's child."""
    node.start()
    node.run(
        f"""
        import ctypes
        jobs = shmetrics.Counter("jobs", "Jobs")
        jobs.inc()
        ours = shmetrics.status()["lane"]
        pid = {FORKS[how]}
        if pid == 0:
            jobs.inc(10)
            childs = shmetrics.status()["lane"]
            grandchild = {FORKS[how]}
            if grandchild == 0:
                jobs.inc(100)
                os._exit(shmetrics.status()["lane"] in (None, ours, childs))
            status = os.waitpid(grandchild, 0)[1]
            jobs.inc(10)
            os._exit(status != 0 or childs in (None, ours))
        assert os.waitpid(pid, 0)[1] == 0
        jobs.inc()
        assert shmetrics.status()["lane"] == ours
        """
    )
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 122
    assert node.samples().value("shmetrics_lanes_retired_total") == 3


def test_a_child_that_records_nothing_has_no_lane(node: Node) -> None:
    """And holds its parent's no longer than the parent does."""
    node.start()
    parent = node.emitter(
        """
        shmetrics.Counter("jobs", "Jobs").inc()
        pid = os.fork()
        if pid == 0:
            pause("child")
            os._exit(0)
        os._exit(0)
        """
    )
    parent.until("child")
    node.until_no_lane()  # the child lives on
    parent.go()
    assert node.samples().value("shmetrics_registrations_total", result="granted") == 1


def test_a_child_forked_while_a_thread_registers_still_registers(node: Node) -> None:
    """The thread that was at it does not exist in the child: nobody would say that it is done."""
    node.start()
    node.run(
        """
        import threading, warnings
        from shmetrics.registration import client
        warnings.simplefilter("ignore")  # yes, we fork with threads
        jobs = shmetrics.Counter("jobs", "Jobs")
        answer = client.Attempt.answer
        waiting, go_on = threading.Event(), threading.Event()

        def slow_answer(*args):
            waiting.set()
            go_on.wait()
            return answer(*args)

        client.Attempt.answer = slow_answer
        thread = threading.Thread(target=jobs.inc)
        thread.start()
        waiting.wait()
        pid = os.fork()
        if pid == 0:
            client.Attempt.answer = answer
            jobs.inc()
            os._exit(not shmetrics.status()["connected"])
        go_on.set()
        thread.join()
        assert os.waitpid(pid, 0)[1] == 0
        """
    )
    assert node.samples().value("jobs_total") == 2


def test_multiprocessing_by_any_start_method(node: Node) -> None:
    node.start()
    (node.runtime_dir / "work.py").write_text(
        "import shmetrics\n"
        "jobs = shmetrics.Counter('jobs', 'Jobs', ['method'])\n"
        "def work(method):\n"
        "    jobs.labels(method).inc()\n"
    )
    node.run(
        f"""
        import multiprocessing
        sys.path.insert(0, {str(node.runtime_dir)!r})
        import work
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            work.work(method)
            processes = [context.Process(target=work.work, args=(method,)) for n in range(2)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
                assert process.exitcode == 0
        """
    )
    node.until_no_lane()
    found = node.samples()
    for method in ("fork", "spawn", "forkserver"):
        assert found.value("jobs_total", method=method) == 3


def test_a_child_forked_in_the_middle_of_a_registration_leaves_the_grant_alone(node: Node) -> None:
    """The handler forks when the answer is there; the child returns into what its parent does."""
    node.start()
    node.run(
        """
        from shmetrics.registration import client
        jobs = shmetrics.Counter("jobs", "Jobs")
        answer, pids = client.Attempt.answer, []

        def answer_and_fork(*args):
            found = answer(*args)
            client.Attempt.answer = answer
            pids.append(os.fork())
            return found

        client.Attempt.answer = answer_and_fork
        jobs.inc()
        ours = shmetrics.status()["lane"]
        if pids == [0]:
            jobs.inc(10)
            os._exit(shmetrics.status()["lane"] in (None, 1))
        assert ours == 1
        jobs.inc()
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0]
        """
    )
    node.until_no_lane()
    # The record that was interrupted happened before the fork.
    assert node.samples().value("jobs_total") == 12
    assert node.samples().value("shmetrics_lanes_retired_total") == 2
