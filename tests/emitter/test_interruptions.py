# SPDX-License-Identifier: Apache-2.0
"""Recording in the middle of a record: signal handlers, destructors, collections, the very end."""

from __future__ import annotations

from tests.nodes.node import Node

INSTRUMENTS = """
import atexit, gc, signal, threading
jobs = shmetrics.Counter("jobs", "Jobs", ["by"])
main, other = jobs.labels("main"), jobs.labels("other")
size = shmetrics.Histogram("size", "Sizes", ["by"], buckets=(1, 2)).labels("main")
rpc = shmetrics.Calls("rpc", "Calls", ["by"])
rpc_main, rpc_other = rpc.labels("main"), rpc.labels("other")
"""


def test_a_signal_handler_records_between_any_two_instructions(node: Node) -> None:
    node.start()
    said = node.run(
        INSTRUMENTS
        + """
handled = 0

def handler(number, frame):
    global handled
    handled += 1
    other.inc()
    with rpc_other():
        jobs.labels(f"handler {handled % 7}").inc()

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
ends = 0
while ends < 100_000 or handled < 200:
    main.inc()
    size.observe(1.5)
    rpc_main.end(rpc_main.start(), f"Error{ends % 3}")
    ends += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(ends, handled)
"""
    )
    ends, handled = map(int, said.split())
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", by="main") == ends
    assert found.value("jobs_total", by="other") == handled
    assert sum(found.value("jobs_total", by=f"handler {n}") for n in range(7)) == handled
    assert found.value("size_count", by="main") == ends
    assert found.value("rpc_invocation_end_total", by="main") == ends
    assert found.sum("rpc_exception_total", by="main") == ends
    assert found.value("rpc_invocation_start_total", by="other") == handled
    assert found.value("rpc_invocation_end_total", by="other") == handled
    assert found.counted("shmetrics_dropped_total") == {}


def test_a_signal_handler_forks(node: Node) -> None:
    node.start()
    node.run(
        INSTRUMENTS
        + """
forked = []

def handler(number, frame):
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
        other.inc()
        os._exit(not shmetrics.status()["connected"])
    forked.append(pid)
    if len(forked) < 8:
        signal.setitimer(signal.ITIMER_REAL, 0.001)

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001)
n = 0
while n < 10_000 or len(forked) < 8:
    main.inc(n < 10_000)
    n += 1
assert [os.waitpid(pid, 0)[1] for pid in forked] == [0] * 8
"""
    )
    node.until_no_lane()
    assert node.samples().value("jobs_total", by="main") == 10_000
    assert node.samples().value("jobs_total", by="other") == 8


def test_destructors_and_collections_record(node: Node) -> None:
    """Among them that of the very value that is being recorded."""
    node.start()
    said = node.run(
        INSTRUMENTS
        + """
deaths = collections = conversions = 0

class Mortal:
    def __del__(self):
        global deaths
        deaths += 1
        other.inc()

class Number(Mortal):
    def __float__(self):
        global conversions
        conversions += 1
        jobs.labels("conversion").inc()
        return 1.5

class Label(Mortal):
    def __str__(self):
        Mortal()
        return "label"

def collected(phase, info):
    global collections
    collections += 1
    jobs.labels("collection").inc()

gc.callbacks.append(collected)
gc.set_threshold(5)
for n in range(2_000):
    cycle = [Mortal()]
    cycle.append(cycle)
    main.inc(Number())
    size.observe(Number())
    jobs.labels(Label()).inc()
    with rpc_main():
        Mortal()
    try:
        with rpc_main():
            raise type(f"Error{n % 5}", (Exception,), {})
    except Exception:
        pass
gc.callbacks.remove(collected)
del cycle
gc.collect()
gc.disable()
print(deaths, collections, conversions)
"""
    )
    deaths, collections, conversions = map(int, said.split())
    assert collections > 100
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", by="main") == 3_000
    assert found.value("jobs_total", by="other") == deaths == 2_000 * 6
    assert found.value("jobs_total", by="conversion") == conversions == 4_000
    assert found.value("jobs_total", by="label") == 2_000
    assert found.value("jobs_total", by="collection") == collections
    assert found.value("size_sum", by="main") == 3_000
    assert found.value("rpc_invocation_end_total", by="main") == 4_000
    assert found.sum("rpc_exception_total", by="main") == 2_000


LAST_WORDS = """
class LastWord:
    def __init__(self, by, record=None):
        self.child = jobs.labels(by)
        self.rpc = rpc_other

    def __del__(self):
        self.child.inc()
        with self.rpc():
            self.child.inc()

import builtins
builtins.last_word = LastWord("builtins")  # outlives every module
in_module = LastWord("module")
in_cycle = [LastWord("cycle")]
in_cycle.append(in_cycle)
gc.disable()
threading.current_thread().last_word = LastWord("thread")
"""


def last_words_are_there(node: Node) -> None:
    node.until_no_lane()
    found = node.samples()
    for by in ("builtins", "module", "cycle", "thread", "atexit"):
        assert found.value("jobs_total", by=by) == 2, by
    assert found.value("rpc_invocation_end_total", by="other") == 5


def test_what_is_recorded_at_interpreter_shutdown_counts(node: Node) -> None:
    node.start()
    node.run(
        INSTRUMENTS
        + "atexit.register(lambda: LastWord('atexit'))\n"
        + LAST_WORDS
        + 'jobs.labels("main").inc()\n'
    )
    last_words_are_there(node)


def test_even_if_it_is_all_that_is_ever_recorded(node: Node) -> None:
    """The process has no lane until it ends."""
    node.start()
    node.run(
        "import atexit\n"
        "atexit.register(lambda: LastWord('atexit'))\n"
        + INSTRUMENTS
        + LAST_WORDS
        + 'assert shmetrics.status()["recorded"] == 0\n'
    )
    last_words_are_there(node)


def test_a_process_without_a_collector_ends_as_quietly(node: Node) -> None:
    node.run(INSTRUMENTS + "atexit.register(lambda: LastWord('atexit'))\n" + LAST_WORDS)


def test_threads_record_at_once(node: Node) -> None:
    node.start()
    node.run(
        INSTRUMENTS
        + """
import sys
sys.setswitchinterval(1e-6)

def work():
    for n in range(20_000):
        main.inc()
        token = rpc_main.start()
        threads_calls.append(token)
        rpc_main.end(threads_calls.pop())  # perhaps another thread's

threads_calls = []
threads = [threading.Thread(target=work) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    )
    node.until_no_lane()
    assert node.samples().value("jobs_total", by="main") == 80_000
    assert node.samples().value("rpc_invocation_start_total", by="main") == 80_000
    assert node.samples().value("rpc_invocation_end_total", by="main") == 80_000
    assert node.samples().sum("shmetrics_rpc_in_flight") == 0
