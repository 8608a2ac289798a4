# SPDX-License-Identifier: Apache-2.0
"""Label rules in a process: values without end cost it nothing."""

from __future__ import annotations

import sys

import pytest

from shmetrics import _ring
from shmetrics.emitter import label_rules
from shmetrics.label_rules.rule import Hash, Rule, drop, keep
from tests.emitter.recording import made
from tests.nodes.node import Node

RULE = """
[[labels]]
family = "{family}"
label = "server"
{rule}
"""

EMPTY = (("server", ""),)

# A process that has its lane, and so the rules, before it records what is counted.
CONNECTED = """
shmetrics.Counter("first", "First").inc()
status = shmetrics.status()
assert status["connected"] and not status["problem"], status
"""


def start(node: Node, rule: str, family: str = "*", more: str = "") -> None:
    node.start(more + RULE.format(family=family, rule=rule))


@pytest.mark.parametrize(("rule", "series"), [("hash = 64", 64), ("drop = true", 1)])
def test_a_hundred_thousand_servers_cost_a_few_definitions(
    node: Node, rule: str, series: int
) -> None:
    """Neither room in the lane nor memory: none overflows, and no label is lost."""
    start(node, rule)
    said = node.run(
        CONNECTED
        + """
import tracemalloc
from shmetrics import rpc
jobs = shmetrics.Counter("jobs", "Jobs", ["server"])

def record(numbers):
    for n in numbers:
        jobs.labels(f"compute-{n}").inc()
        call = rpc.client_call(method="build", server=f"compute-{n}")
        call.end(call.start())

record(range(10_000))
tracemalloc.start()
record(range(10_000, 100_000))
grown = tracemalloc.get_traced_memory()[0]
assert grown < 4_000_000, grown  # what was looked up last; all of them would be 60 MB
status = shmetrics.status()
assert status["overflowed"] == 0 and status["dropped"] == {}, status
print(len(jobs._family.children))
        """
    )
    assert int(said) == series
    node.until_no_lane()
    found = node.samples()
    assert found.sum("jobs_total") == 100_000
    assert len(found.of("jobs_total")) == series
    assert found.sum("oslo_messaging_rpc_client_invocation_end_total") == 100_000
    assert len(found.of("oslo_messaging_rpc_client_invocation_end_total")) == series
    assert found.sum("shmetrics_overflowed_total") == 0


def under_rules(monkeypatch: pytest.MonkeyPatch, *rules: Rule) -> None:
    """Rules as a collector grants them."""
    monkeypatch.setattr(label_rules, "_rules", rules)
    _ring.rules_changed()


def test_what_is_looked_up_is_bounded_in_number_and_length(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    under_rules(monkeypatch, Rule(name, "server", Hash(1)))
    jobs = made("Counter", name, "server")
    child = jobs.labels("compute")
    before = sys.getrefcount(child)
    for n in range(10_000):
        for _ in range(2):
            assert jobs.labels(f"compute-{n}") is child
        assert sys.getrefcount(child) - before <= 4096
    long = "x" * 1_000_000
    before = sys.getrefcount(long)
    assert jobs.labels(long) is child
    assert sys.getrefcount(long) == before


def test_other_rules_are_applied_to_what_was_looked_up(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    jobs = made("Counter", name, "server")
    for change, wanted in ((drop, ""), (Hash(1), "#0"), (drop, "")):
        under_rules(monkeypatch, Rule("*", "server", change))
        for _ in range(2):
            assert jobs.labels("a") is jobs._family.children.get((wanted,))
    under_rules(monkeypatch, Rule("*", "server", keep))
    assert jobs.labels("a") is jobs._family.children.get(("a",))


def test_a_process_is_told_what_concerns_it_and_of_the_rest_to_keep(node: Node) -> None:
    """A pattern is the collector's alone, and a later rule does not take its place."""
    start(node, 'rewrite = [{ match = "a.*", replace = "A" }]', more=RULE_ORDER)
    node.run(
        CONNECTED
        + """
jobs = shmetrics.Counter("jobs", "Jobs", ["server"])
runs = shmetrics.Counter("runs", "Runs", ["server"])
others = shmetrics.Counter("others", "Others", ["server"])
for counter in jobs, runs, others:
    for server in "a1", "a2", "b":
        counter.labels(server).inc()
assert [len(counter._family.children) for counter in (jobs, runs, others)] == [1, 3, 3]
        """
    )
    found = node.samples()
    assert found.of("jobs_total") == {EMPTY: 3}
    for name in ("runs_total", "others_total"):
        assert found.of(name) == {(("server", "A"),): 2, (("server", "b"),): 1}


RULE_ORDER = """
[[labels]]
family = "jobs"
label = "server"
drop = true
[[labels]]
family = "runs"
label = "server"
rewrite = [{ match = "(a).", replace = "A" }]
[[labels]]
family = "runs"
label = "server"
drop = true
"""


def test_a_child_from_before_stays_what_it_is(node: Node) -> None:
    """Its labels are in the lane; the collector applies the rules to them."""
    emitter = node.emitter(
        """
        jobs = shmetrics.Counter("jobs", "Jobs", ["server"])
        early = jobs.labels("compute-1")
        early.inc()
        pause("early")
        from tests.servers.patience import until
        until(lambda: early.inc(0) or shmetrics.status()["connected"], shmetrics.status, 60)
        assert jobs.labels("compute-1") is early
        assert jobs.labels("compute-2") is not early
        jobs.labels("compute-2").inc()
        early.inc()
        pause("late")
        """
    )
    emitter.until("early")
    start(node, "hash = 1")
    emitter.go()
    emitter.until("late")
    assert node.samples().of("jobs_total") == {(("server", "#0"),): 3}
    emitter.go()
    emitter.end()


def test_a_forked_child_has_the_rules(node: Node) -> None:
    start(node, "hash = 1")
    node.run(
        CONNECTED
        + """
jobs = shmetrics.Counter("jobs", "Jobs", ["server"])
jobs.labels("compute-1").inc()
pid = os.fork()
for n in range(2000):
    jobs.labels(f"compute-{n}").inc()
assert shmetrics.status()["overflowed"] == 0
assert list(jobs._family.children) == [("#0",)]
if pid:
    assert os.waitpid(pid, 0)[1] == 0
        """
    )
    node.until_no_lane()
    assert node.samples().of("jobs_total") == {(("server", "#0"),): 4001}


def test_gauges_are_left_to_the_collector(node: Node) -> None:
    """Two of them in one place would overwrite each other."""
    start(node, "drop = true")
    node.run(
        CONNECTED
        + """
size = shmetrics.Gauge("size", "Size", ["server"], multiprocess_mode="sum")
for n in range(10):
    size.labels(str(n)).set(n)
for n in range(10):
    size.labels(str(n)).inc()
        """
    )
    node.until_no_lane()
    assert node.samples().of("size") == {EMPTY: 55}


def test_observed_totals_are_left_to_the_collector(node: Node) -> None:
    """Two of them in one place would be one that rises and falls."""
    start(node, "drop = true")
    emitter = node.emitter(
        CONNECTED
        + """
pages = shmetrics.ObservedCounter("pages", "Pages", ["server"])
for n in range(10):
    pages.labels(str(9 - n)).set_total(9 - n)
assert shmetrics.status()["dropped"] == {}
pause("set")
        """
    )
    emitter.until("set")
    assert node.samples().of("pages_total") == {EMPTY: 45}
    emitter.go()
    emitter.end()


def test_after_a_restart_with_other_rules_what_was_counted_keeps_its_labels(node: Node) -> None:
    start(node, "hash = 1")
    emitter = node.emitter(
        CONNECTED
        + """
jobs = shmetrics.Counter("jobs", "Jobs", ["server"])
for word in "hashed", "dropped", "kept":
    jobs.labels("compute-1").inc()
    pause(word)
        """
    )
    emitter.until("hashed")
    assert node.samples().of("jobs_total") == {(("server", "#0"),): 1}
    node.stop()
    start(node, "drop = true")
    emitter.go()
    emitter.until("dropped")
    assert node.samples().of("jobs_total") == {(("server", "#0"),): 1, EMPTY: 1}
    node.kill()
    node.start()
    emitter.go()
    emitter.until("kept")
    assert node.samples().of("jobs_total") == {(("server", "#0"),): 2, EMPTY: 1}
    emitter.go()
    emitter.end()
