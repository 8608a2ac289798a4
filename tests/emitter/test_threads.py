# SPDX-License-Identifier: Apache-2.0
"""Recording wherever Python runs code that the service did not call.

Threads and tasks that come and go, callbacks of the interpreter, tracers, and the end of it all.
"""

from __future__ import annotations

import sys

import pytest

from tests.nodes.node import Node

INSTRUMENTS = """
import threading
jobs = shmetrics.Counter("jobs", "Jobs", ["by"])
calls = shmetrics.Calls("rpc", "Calls", ["method"])
"""


def ended(node: Node, method: str) -> float:
    """Calls of one method that have ended, when every process is gone; all of them have to have."""
    node.until_no_lane()
    found = node.samples()
    ends = found.value("rpc_invocation_end_total", method=method)
    assert found.value("rpc_invocation_start_total", method=method) == ends
    assert found.sum("shmetrics_rpc_abandoned_total", method=method) == 0
    return ends


def test_threads_that_come_and_go(node: Node) -> None:
    """More than there are slots for open calls; some begin a call that another one ends."""
    node.start()
    node.run(
        INSTRUMENTS
        + """
import queue
handed = queue.SimpleQueue()

def work(n):
    jobs.labels("thread").inc()
    with calls.labels("m")():
        handed.put(calls.labels("m").start())
    if n % 2:
        for _ in range(2):
            calls.labels("m").end(handed.get())

for batch in range(100):
    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
    )
    assert ended(node, "m") == 4_000
    assert node.samples().value("jobs_total", by="thread") == 2_000
    assert node.samples().sum("shmetrics_dropped_total") == 0


def test_one_thread_forks_while_others_record(node: Node) -> None:
    """A child is made of the one that forked; what the others were at is its parent's."""
    node.start()
    said = node.run(
        INSTRUMENTS
        + """
import warnings
warnings.simplefilter("ignore")  # yes, we fork with threads
sys.setswitchinterval(1e-5)
running, counts = True, [0] * 3

def work(by):
    while running:
        with calls.labels("parent")():
            jobs.labels("parent").inc()
            counts[by] += 1

threads = [threading.Thread(target=work, args=(by,)) for by in range(len(counts))]
for thread in threads:
    thread.start()
for n in range(40):
    pid = os.fork()
    if pid == 0:
        with calls.labels("child")():
            jobs.labels("child").inc(2)
        os._exit(not shmetrics.status()["connected"])
    connected = os.waitpid(pid, 0)[1] == 0
    jobs.labels("connected").inc(2 * connected)
running = False
for thread in threads:
    thread.join()
print(sum(counts))
"""
    )
    assert ended(node, "parent") == int(said)
    found = node.samples()
    assert found.value("jobs_total", by="parent") == int(said)
    assert found.value("jobs_total", by="child") == found.value("jobs_total", by="connected") > 0


def test_daemon_threads_record_into_the_end(node: Node) -> None:
    """What they have recorded counts, up to the moment at which the interpreter stops them."""
    node.start()
    said = node.run(
        INSTRUMENTS
        + """
import atexit, time
sys.setswitchinterval(1e-5)
counted = 0

def work():
    global counted
    while True:
        with calls.labels("m")():
            jobs.labels("daemon").inc()
            counted += 1

for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
while not shmetrics.status()["connected"]:
    jobs.labels("main").inc(0)
    time.sleep(0.001)
atexit.register(lambda: print(counted))
"""
    )
    node.until_no_lane()
    assert node.samples().value("jobs_total", by="daemon") >= int(said)
    assert node.samples().value("jobs_total", by="daemon") > 0


CALLBACKS = {
    "weakref": """
import weakref
class Mortal: pass
kept = []
for n in range(100):
    mortal = Mortal()
    kept.append(weakref.ref(mortal, lambda _: record()))
    weakref.finalize(mortal, lambda: jobs.labels("x").inc(0))
    del mortal
""",
    "excepthook": """
import sys
sys.excepthook = lambda *_: record()
sys.unraisablehook = threading.excepthook = lambda _: record()
class Mortal:
    def __del__(self): raise KeyError
def fail(): raise KeyError
for n in range(50):
    Mortal()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
""",
    "threading._register_atexit": """
for n in range(100):
    threading._register_atexit(record)
""",
    "atexit": """
import atexit
for n in range(100):
    atexit.register(record)
""",
    "at_fork": """
os.register_at_fork(before=record, after_in_parent=record)
for n in range(50):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
""",
    "audit": """
def hook(event, _):
    if event == "of the test":
        record()
sys.addaudithook(hook)
for n in range(100):
    sys.audit("of the test")
""",
    "generator": """
def hold(instrument):
    with instrument():
        yield
held = [hold(calls.labels("held")) for n in range(100)]
for one in held:
    next(one)
for n in range(100):
    held.pop()  # closed by its collection
    record()
""",
    "asyncio": """
import asyncio
async def begin(): return calls.labels("task").start()
async def end(token): calls.labels("task").end(token)
async def cancelled():
    with calls.labels("task")():
        await asyncio.sleep(60)
async def main():
    for n in range(50):
        await asyncio.create_task(end(await asyncio.create_task(begin())))
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        record(), record()
    asyncio.create_task(cancelled())
    await asyncio.sleep(0)  # and is left to the end of the loop
asyncio.run(main())
""",
}


@pytest.mark.parametrize("where", CALLBACKS)
def test_what_a_callback_of_the_interpreter_records_counts(node: Node, where: str) -> None:
    node.start()
    node.run(
        INSTRUMENTS
        + """
def record():
    with calls.labels("m")():
        jobs.labels("callback").inc()

jobs.labels("main").inc()
"""
        + CALLBACKS[where]
    )
    assert ended(node, "m") == 100
    assert node.samples().value("jobs_total", by="callback") == 100
    if where == "generator":
        assert ended(node, "held") == 100
        assert node.samples().sum("rpc_exception_total", exception="GeneratorExit") == 100
    if where == "asyncio":
        assert ended(node, "task") == 101
        assert node.samples().sum("rpc_exception_total", exception="CancelledError") == 51


TRACERS = {
    "sys.settrace": "def hook(*_):\n    record()\n    return hook\nset_hook = sys.settrace",
    "sys.setprofile": "def hook(*_):\n    record()\nset_hook = sys.setprofile",
    "sys.monitoring": """
def hook(*_):
    record()

def set_hook(hook):
    tool, events = sys.monitoring.DEBUGGER_ID, sys.monitoring.events
    if hook is None:
        sys.monitoring.set_events(tool, events.NO_EVENTS)
        return
    sys.monitoring.use_tool_id(tool, "test")
    for event in (events.LINE, events.CALL, events.PY_RETURN):
        sys.monitoring.register_callback(tool, event, hook)
    sys.monitoring.set_events(tool, events.LINE | events.CALL | events.PY_RETURN)
""",
}


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_tracer_records_at_every_event(node: Node, tracer: str) -> None:
    """Of what records, of what registers, and of the labels and exceptions that are made."""
    if tracer == "sys.monitoring" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring came with Python 3.12")
    node.start()
    said = node.run(
        INSTRUMENTS
        + f"""
inner, hooked = jobs.labels("hook"), 0

def record():
    global hooked
    hooked += 1
    inner.inc()
    with calls.labels("hook")():
        jobs.labels(str(hooked % 3)).inc()

{TRACERS[tracer]}

def work(n):
    jobs.labels("main").inc()
    try:
        with calls.labels("main")():
            jobs.labels(f"new {{n}}").inc()
            raise type(f"Error{{n}}", (Exception,), {{}})
    except Exception:
        pass

set_hook(hook)
for n in range(100):
    work(n)
set_hook(None)
print(hooked)
"""
    )
    hooked = int(said)
    assert hooked > 500
    assert ended(node, "hook") == hooked
    assert ended(node, "main") == 100
    found = node.samples()
    assert found.value("jobs_total", by="hook") == hooked
    assert sum(found.value("jobs_total", by=str(n)) for n in range(3)) == hooked
    assert found.value("jobs_total", by="main") == 100
    assert found.sum("rpc_exception_total", method="main") == 100
