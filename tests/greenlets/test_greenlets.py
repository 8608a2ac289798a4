# SPDX-License-Identifier: Apache-2.0
"""Recording in greenlets: gevent and eventlet, with the standard library patched by each."""

from __future__ import annotations

import textwrap

import pytest

from tests.nodes.node import Node

LIBRARIES = {
    "gevent": """
        import gevent, gevent.monkey
        gevent.monkey.patch_all()
        from gevent import sleep, spawn
        wait = gevent.Greenlet.get
        kill = gevent.kill
        """,
    "eventlet": """
        import warnings
        warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
        import eventlet
        eventlet.monkey_patch()
        from eventlet import kill, sleep, spawn
        wait = eventlet.greenthread.GreenThread.wait
        """,
}

OPEN_AT_ONCE = 3000
LISTED = 1024  # calls that a lane can list as open
ASKING = 200
QUESTIONS = 10
CHILDREN = 4


def program(library: str, code: str, before: str = "") -> str:
    """Return the library's patching, and the code after it. before: comes first."""
    return "".join(textwrap.dedent(part) for part in (before, LIBRARIES[library], code))


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


CROWD = f"""
import threading
from shmetrics import rpc
jobs = shmetrics.Counter("jobs", "Jobs")
busy = shmetrics.Gauge("busy", "Busy", multiprocess_mode="livesum")
gate = threading.Event()  # patched: greenlets wait for it
open_now = 0

def work():
    global open_now
    jobs.inc()
    with rpc.client_call(method="m")(), busy.track_inprogress():
        open_now += 1
        gate.wait()

crowd = [spawn(work) for _ in range({OPEN_AT_ONCE})]
while open_now < {OPEN_AT_ONCE}:
    sleep(0)
pause("open")
gate.set()
for one in crowd:
    wait(one)
"""


@pytest.mark.parametrize("loaded", ["before", "after"])
def test_thousands_of_calls_are_open_at_once(node: Node, library: str, loaded: str) -> None:
    """Check processes that loaded shmetrics before the patching, and after it."""
    node.start()
    before = "shmetrics.Counter, shmetrics.status()" if loaded == "before" else ""
    service = node.emitter(program(library, CROWD, before))
    service.until("open")
    assert node.samples().value("busy") == OPEN_AT_ONCE
    assert len(node.calls()) == LISTED
    service.go()
    service.end()
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total") == OPEN_AT_ONCE
    for moment in ("start", "end"):
        name = f"oslo_messaging_rpc_client_invocation_{moment}_total"
        assert found.sum(name, method="m") == OPEN_AT_ONCE
    assert found.sum("shmetrics_dropped_total") == OPEN_AT_ONCE - LISTED
    assert found.sum("shmetrics_rpc_abandoned_total") == 0


SERVICE = f"""
import socket, socketserver, threading  # all of them patched
from shmetrics import rpc

class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            with rpc.server_call(method="m")():
                sleep(0)
            self.wfile.write(line)

class Server(socketserver.ThreadingTCPServer):
    request_queue_size = {ASKING}
    daemon_threads = True
    block_on_close = False

server = Server(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()

def ask(words):
    with socket.create_connection(server.server_address) as connection:
        stream = connection.makefile("rwb")
        for word in words:
            with rpc.client_call(method="m")():
                stream.write(word + b"\\n")
                stream.flush()
                assert stream.readline() == word + b"\\n"

asking = [spawn(ask, [b"%d" % n] * {QUESTIONS}) for n in range({ASKING})]
for one in asking:
    wait(one)
"""


def test_a_server_and_its_clients(node: Node, library: str) -> None:
    node.start()
    node.run(program(library, SERVICE))
    node.until_no_lane()
    found = node.samples()
    for side in ("client", "server"):
        for moment in ("start", "end"):
            name = f"oslo_messaging_rpc_{side}_invocation_{moment}_total"
            assert found.sum(name, method="m") == ASKING * QUESTIONS, name
    assert found.sum("shmetrics_rpc_abandoned_total") == 0


def test_a_greenlet_that_is_killed_ends_its_call(node: Node, library: str) -> None:
    """Check that a call that is handed over ends in the greenlet that has it."""
    node.start()
    node.run(
        program(
            library,
            """
            calls = shmetrics.Calls("calls", "Calls", ["method"])
            stuck, handed = calls.labels("stuck"), calls.labels("handed")

            def hang():
                with stuck():
                    sleep(60)

            hanging = spawn(hang)
            sleep(0.01)
            kill(hanging)
            token = handed.start()
            wait(spawn(handed.end, token))
            """,
        )
    )
    node.until_no_lane()
    found = node.samples()
    for method in ("stuck", "handed"):
        assert found.value("calls_invocation_end_total", method=method) == 1
    assert found.sum("calls_exception_total", exception="GreenletExit") == 1
    assert found.sum("shmetrics_rpc_abandoned_total") == 0


def test_a_frozen_collector_holds_up_no_greenlet(node: Node, library: str) -> None:
    """Check that the one bounded wait of a process does not hang the hub, nor the hub that wait."""
    node.start()
    node.freeze()
    service = node.emitter(
        program(
            library,
            """
from shmetrics.registration import client
waits = []
answer = client.Attempt.answer

def counted(self, wait_ns):
    waits.append(wait_ns)
    return answer(self, wait_ns)

client.Attempt.answer = counted
jobs = shmetrics.Counter("jobs", "Jobs")

def work(n):
    jobs.inc()
    sleep(0)
    jobs.inc()

for one in [spawn(work, n) for n in range(100)]:
    wait(one)
assert waits[0] == 50_000_000 and not any(waits[1:]), waits
assert not shmetrics.status()["connected"]
pause("frozen")
while not shmetrics.status()["connected"]:
    jobs.inc(0)
    sleep(0.05)
""",
        )
    )
    service.until("frozen")
    node.thaw()
    service.go()
    service.end()
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 200


def test_children_that_a_greenlet_forks(node: Node, library: str) -> None:
    """Check children with greenlets of their own, while their parent's go on."""
    node.start()
    node.run(
        program(
            library,
            f"""
jobs = shmetrics.Counter("jobs", "Jobs", ["who"])
calls = shmetrics.Calls("calls", "Calls")
running = True

def record():
    while running:
        with calls():
            jobs.labels("parent").inc()
            sleep(0)

def childs(n):
    for _ in range(10):
        with calls():
            sleep(0)
        jobs.labels("child").inc()

def fork(n):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for one in [spawn(childs, n) for n in range(10)]:
                wait(one)
            while not shmetrics.status()["connected"]:  # a busy collector takes its time
                jobs.labels("child").inc(0)
                sleep(0.05)
            status = 0
        finally:
            os._exit(status)
    return pid

recording = spawn(record)
pids = [wait(spawn(fork, n)) for n in range({CHILDREN})]
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * {CHILDREN}
running = False
wait(recording)
""",
        )
    )
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", who="child") == CHILDREN * 100
    assert found.value("shmetrics_lanes_retired_total") == CHILDREN + 1
