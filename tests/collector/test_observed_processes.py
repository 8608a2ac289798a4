# SPDX-License-Identifier: Apache-2.0
"""Observed counters of real processes: killed, moved to a larger lane, scraped by a Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.nodes.node import Emitter, Node
from tests.nodes.samples import OPENMETRICS
from tests.servers.processes import until
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.slow

CREATED = "[web]\ncreated_samples = true\n"

TOLD = """
from array import array
pages = shmetrics.ObservedCounter("pages", "Pages", ["unit"])
pages.labels("own").set_total(1)
print("ready", flush=True)
for line in sys.stdin:
    unit, method, value = line.split()
    getattr(pages.labels(unit), method)(float(value))
    print("done", flush=True)
"""


def tell(emitter: Emitter, unit: str, method: str, value: float) -> None:
    emitter.tell(f"{unit} {method} {value}")
    emitter.until("done")


def test_a_total_leaves_with_its_process(node: Node) -> None:
    node.start()
    one, other = node.emitter(TOLD), node.emitter(TOLD)
    for emitter, total in ((one, 5.0), (other, 7.0)):
        emitter.until("ready")
        tell(emitter, "a", "set_total", total)
    assert node.samples().value("pages_total", unit="a") == 12
    one.kill()
    node.until_lanes(1)
    assert node.samples().value("pages_total", unit="a") == 7
    other.kill()
    node.until_no_lane()
    assert node.samples().of("pages_total") == {}


def test_a_collector_that_is_killed_changes_nothing(node: Node) -> None:
    node.start(CREATED)
    emitter = node.emitter(TOLD)
    emitter.until("ready")
    tell(emitter, "a", "new_generation", 3.0)
    before = node.samples(OPENMETRICS)
    node.kill()
    tell(emitter, "own", "set_total", 9.0)
    node.start(CREATED)
    after = node.samples(OPENMETRICS)
    assert after.value("pages_total", unit="a") == 3
    assert after.value("pages_total", unit="own") == 9
    [start] = before.of("pages_created").values()
    assert after.of("pages_created") == {(("unit", "a"),): pytest.approx(start, abs=0.1)}
    emitter.kill()


def test_a_process_that_moves_takes_its_totals_along(node: Node) -> None:
    """Check a move from a first lane without room for the totals, which keep their starts."""
    node.start(CREATED)
    emitter = node.emitter("""
    import time
    from array import array
    from shmetrics import _ring
    pages = shmetrics.ObservedCounter("pages", "Pages", ["unit"])
    pages.labels("first").new_generation(7)
    pause("one")
    many = pages.array(f"unit-{n}" for n in range(6000))
    many.set_totals(array("d", range(6000)))
    while _ring.process_status()["wants_larger"]:
        time.sleep(0.01)
        many.set_totals(array("d", range(6000)))
    pause("many")
    many.set_totals(array("d", range(1, 6001)))
    pages.labels("first").set_total(8)
    many.new_generation(0, 2)
    pause("more")
    """)
    emitter.until("one")
    start = node.samples(OPENMETRICS).value("pages_created", unit="first")
    emitter.go()
    emitter.until("many")
    emitter.go()
    emitter.until("more")
    until(  # all definitions of the new lane are read; before that the old one is shown
        lambda: node.samples().value("pages_total", unit="first") == 8,
        lambda: f"{node.lanes()}",
        60,
    )
    samples = node.samples(OPENMETRICS)
    totals = samples.of("pages_total")
    assert totals.pop((("unit", "first"),)) == 8
    assert totals.pop((("unit", "unit-0"),)) == 2
    assert totals == {(("unit", f"unit-{n}"),): n + 1 for n in range(1, 6000)}
    created = samples.of("pages_created")
    assert set(created) == {(("unit", "first"),), (("unit", "unit-0"),)}
    assert created[(("unit", "first"),)] == pytest.approx(start, abs=0.1)
    emitter.go()
    emitter.end()


def increase_of(points: list[tuple[float, str]]) -> float:
    """Return the increase that Prometheus sees between samples: a lower one is a reset to 0."""
    values = [float(value) for _, value in points]
    return sum(now - before if now >= before else now for before, now in pairwise(values))


def test_a_prometheus_sees_a_new_generation_as_a_reset(
    node: Node, prometheus: Callable[..., Prometheus]
) -> None:
    node.start()
    emitter = node.emitter(TOLD)
    emitter.until("ready")
    server = prometheus(node.url)
    steps = [("set_total", 1000.0), ("set_total", 1010.0), ("new_generation", 2.0)]
    steps += [("set_total", 5.0), ("new_generation", 0.0), ("set_total", 20.0)]
    for method, total in steps:
        tell(emitter, "a", method, total)
        server.wait_for(f'pages_total{{unit="a"}} == {total}')
    [series] = server.get("query", query='pages_total{unit="a"}[5m]')["result"]
    assert increase_of(series["values"]) == 10 + 5 + 20
    [(_, resets)] = server.samples('resets(pages_total{unit="a"}[5m])')
    assert resets == 2
    [(_, increase)] = server.samples('increase(pages_total{unit="a"}[5m])')
    assert 35 <= increase <= 70  # Prometheus extends it to the ends of the window
    emitter.kill()
    node.until_no_lane()
    server.wait_for("pages_total", lambda found: not found)
