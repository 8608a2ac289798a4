# SPDX-License-Identifier: Apache-2.0
"""Amounts that doubles can hardly hold: legal, harmless to others, and shown validly."""

from __future__ import annotations

import math
import sys

import pytest

import shmetrics
from tests.nodes.loopback import Loopback
from tests.nodes.node import Node
from tests.nodes.samples import OPENMETRICS
from tests.render import client_model

LARGEST = sys.float_info.max
PROTOBUF = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
BIG = 'shmetrics.Counter("big", "Big", ["who"]).labels("all").inc(1.7e308)'


def test_what_waited_for_a_collector_counts_though_its_sum_is_infinite(node: Node) -> None:
    service = node.emitter(
        """
        big = shmetrics.Histogram("big_seconds", "Big", buckets=(1,))
        mine = shmetrics.Counter("mine", "Mine")
        build = shmetrics.Calls("build", "Builds")
        big.observe(1.7e308)
        big.observe(1.7e308)
        with build():
            mine.inc(3)
        pause("alone")
        while not shmetrics.status()["connected"]:
            big.observe(0.5)
        mine.inc(4)
        big.observe(-1.7e308)
        pause("connected")
        print(shmetrics.status()["spilled"] + shmetrics.status()["recorded"])
        """
    )
    service.until("alone")
    node.start()
    service.go()
    service.until("connected")
    for _ in range(2):
        found = node.samples()
        assert found.value("mine_total") == 7
        assert found.value("build_invocation_end_total") == 1
        assert found.value("big_seconds_sum") == math.inf
        assert found.value("big_seconds_count") >= 3
        assert found.of("shmetrics_quarantined_total") == {}
        node.stop()
        node.start()
    service.go()
    service.end()
    node.until_no_lane()
    assert node.samples().value("mine_total") == 7
    assert node.samples().value("big_seconds_sum") == math.inf


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_what_is_infinite_or_nearly_so_is_shown_as_text(node: Node, accept: str) -> None:
    node.start()
    for _ in range(2):
        node.run(BIG + '\nshmetrics.Histogram("far", "Far", buckets=(1,)).observe(1.7e308)')
    node.until_no_lane()
    text = node.get("/metrics", accept).decode()
    assert 'big_total{who="all"} 1.7976931348623157e+308\n' in text
    assert "far_sum +Inf\n" in text
    assert 'far_bucket{le="+Inf"} 2' in text
    assert node.samples(accept).value("far_count") == 2


def test_what_is_infinite_or_nearly_so_is_shown_as_protocol_buffers(node: Node) -> None:
    node.start()
    for _ in range(2):
        node.run(BIG + '\nshmetrics.Histogram("far", "Far", buckets=(1,)).observe(1.7e308)')
    node.until_no_lane()
    families = {one.name: one for one in client_model.parse(node.get("/metrics", PROTOBUF))}
    assert families["big_total"].metric[0].counter.value == LARGEST
    far = families["far"].metric[0].histogram
    assert (far.sample_sum, far.sample_count) == (math.inf, 2)


def test_counters_of_processes_stop_together_at_the_largest_number(node: Node) -> None:
    """Its rate is a number then. The family's other series know nothing of it."""
    node.start()
    for n in range(1, 4):
        node.run(BIG + '\nshmetrics.Counter("big", "Big", ["who"]).labels("me").inc()')
        node.until_no_lane()
        found = node.samples()
        assert found.value("big_total", who="all") == (1.7e308 if n == 1 else LARGEST)
        assert found.value("big_total", who="me") == n
        assert found.of("shmetrics_quarantined_total") == {}
        node.stop()
        node.start()
    node.run('shmetrics.Counter("big", "Big", ["who"]).labels("all").inc(1.5)')
    node.until_no_lane()
    assert node.samples().value("big_total", who="all") == LARGEST


def test_sums_of_opposite_infinities_are_still_a_number(node: Node) -> None:
    """Of the first one it is known at least that it is infinite."""
    node.start()
    for sign in ("", "-"):
        observed = f'shmetrics.Histogram("size", "Size", buckets=(1,)).observe({sign}1.7e308)'
        node.run(f"{observed}\n{observed}")
        node.until_no_lane()
        assert node.samples().value("size_sum") == math.inf
    assert node.samples().value("size_count") == 4
    assert node.samples().of("shmetrics_quarantined_total") == {}


def test_what_a_refused_family_counts_stays_finite(loopback: Loopback) -> None:
    """It counts as unbound, by the amount."""
    for n in range(3):
        shmetrics.Counter("shmetrics_huge", "Two minds", [f"label_{n}"]).labels("x").inc(1.7e308)
    found = loopback.samples()
    assert found.value("shmetrics_unbound_total") == LARGEST
