# SPDX-License-Identifier: Apache-2.0
"""The pages of a large lane come in parts, so that no event waits for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Settings
from shmetrics.errors import LaneRefused
from shmetrics.registration.decision import Granted
from shmetrics.registration.protocol import Hello
from tests.nodes.loopback import MIB, THIS_PROCESS, Loopback
from tests.servers.processes import fork, until

SERIES = 6000
LONG = "x" * 240  # so that the definitions alone are more than one part


def lanes_mapped(node: Loopback) -> int:
    """Return how many lanes this process records into or is about to: their mappings are longer."""
    found = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith(str(node.path / "lanes")):
            first, end = (int(at, 16) for at in fields[0].split("-"))
            found += end - first >= os.stat(fields[5]).st_size + os.sysconf("SC_PAGESIZE")
    return found


class Arrival:
    """A large lane that is granted to this process, and not used yet."""

    def __init__(self, node: Loopback) -> None:
        hello = Hello(layout.LAYOUT_VERSION, 0, "arrival", dictionary_bytes=8 * MIB)
        granted = node.collector.grant(THIS_PROCESS, hello)
        assert isinstance(granted, Granted)
        self.lane = _ring.Descriptor(granted.lane_fd)
        self.epoch = _ring.process_epoch()

    def comes(self) -> bool:
        """Attend as an event does; return whether the lane is used."""
        return _ring.process_attach(self.epoch, self.lane)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Loopback]:
    """Yield a collector that gives large lanes, to a process that has none."""
    node = Loopback(tmp_path / "node", Settings(64 * MIB))
    _ring.process_detach()
    yield node
    _ring.process_detach()
    assert lanes_mapped(node) == 0
    node.collector.tick()
    node.release()


def recorded(name: str) -> shmetrics.Counter:
    jobs = shmetrics.Counter(name, "Jobs", ["host"])
    for n in range(SERIES):
        jobs.labels(f"{n} {LONG}").inc()
    return jobs


def shown(node: Loopback, name: str, total: float) -> list[float]:
    """Return the values of a counter's series once the collector has read all definitions."""

    def values() -> list[float]:
        return list(node.samples().of(f"{name}_total").values())

    until(lambda: sum(values()) >= total, lambda: sum(values()), 60)
    return values()


@pytest.mark.slow
def test_what_is_recorded_while_pages_come_is_kept(large: Loopback, name: str) -> None:
    jobs = recorded(name)
    arrival = Arrival(large)
    assert not arrival.comes()
    assert _ring.process_status()["state"] == "private"
    parts = 1
    while not arrival.comes():
        jobs.labels(f"{parts} {LONG}").inc(10)
        parts += 1
    assert 2 <= parts <= 4, parts
    assert arrival.lane.fileno() < 0
    jobs.labels("last").inc()
    total = SERIES + 10 * (parts - 1) + 1
    found = shown(large, name, total)
    assert len(found) == SERIES + 1
    assert sum(found) == total


def test_a_child_that_is_forked_meanwhile_does_not_get_the_lane(large: Loopback, name: str) -> None:
    recorded(name)
    arrival = Arrival(large)
    assert not arrival.comes()
    child = fork()
    if child == 0:
        status = 3
        try:
            arrival.comes()
        except LaneRefused as error:
            status = lanes_mapped(large) if str(error) == "foreign" else 4
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    while not arrival.comes():
        pass
    assert sum(shown(large, name, SERIES)) == SERIES


@pytest.mark.slow
def test_a_descriptor_that_the_host_closes_meanwhile_costs_one_lane(
    large: Loopback, name: str
) -> None:
    recorded(name)
    arrival = Arrival(large)
    assert not arrival.comes()
    os.close(arrival.lane.fileno())
    with pytest.raises(LaneRefused, match="not_a_lane"):
        arrival.comes()
    assert lanes_mapped(large) == 0
    another = Arrival(large)
    while not another.comes():
        pass
    assert sum(shown(large, name, SERIES)) == SERIES
