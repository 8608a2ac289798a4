# SPDX-License-Identifier: Apache-2.0
"""Emitters that mean harm: neighbours' totals stay exact, the reason is counted and logged once."""

from __future__ import annotations

import contextlib
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import encode_strings
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes
from shmetrics.lanes.lanes import DEFINITIONS_PER_LANE
from shmetrics.rate_limited_log import PAUSE_SECONDS
from shmetrics.registration.decision import Granted
from shmetrics.registration.protocol import Hello
from shmetrics.store.limits import Limits
from tests.nodes import hostile
from tests.nodes.hostile import JOBS, RPC, SIZE, LaneFile
from tests.nodes.loopback import MIB, THIS_PROCESS, Loopback

MILLION = 1_000_000
LARGE = Settings(8 * MIB, Limits(), LaneSettings(Sizes(dictionary_bytes=40 * MIB, cells=64)))

neighbour = shmetrics.Counter("neighbour_jobs", "Jobs of a neighbour").inc


@contextlib.contextmanager
def another(loopback: Loopback) -> Iterator[LaneFile]:
    """A lane beside this process's own."""
    granted = loopback.collector.grant(THIS_PROCESS, Hello(layout.LAYOUT_VERSION, 64, "hostile"))
    assert isinstance(granted, Granted)
    with contextlib.closing(LaneFile(granted.lane_fd)) as lane:
        yield lane
    loopback.collector.tick()


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Loopback]:
    """A collector whose lanes have room for a million definitions."""
    found = Loopback(tmp_path / "large", LARGE)
    _ring.process_detach()
    found.attach()
    yield found
    _ring.process_detach()
    found.collector.tick()
    found.release()


def million_entries(first: int, family: int) -> bytes:
    """Series with a label value of eight digits each."""
    form = [("head", "<u4", 5), ("digits", "S8"), ("padding", "<u4")]
    entries = np.zeros(MILLION, form)
    ids = np.arange(first, first + MILLION)
    kind_and_type = layout.ENTRY_SERIES | layout.TYPE_COUNTER << 16
    count_and_length = 1 | 8 << 16
    for field, number in enumerate((32, kind_and_type, ids, family, count_and_length)):
        entries["head"][:, field] = number
    entries["digits"] = np.char.zfill(ids.astype("S8"), 8)
    return entries.tobytes()


@pytest.mark.slow
def test_a_million_series_harm_nobody(large: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    """What is over the limits counts together; every neighbour's scrape is exact meanwhile. It is
    said once a minute."""
    began = time.monotonic()
    with another(large) as lane:
        raw = million_entries(1, lane.family(JOBS))
        end = lane.get(hostile.DICTIONARY_END_AT)
        at = lane.parts["dictionary"][0] + end
        lane.memory[at : at + len(raw)] = raw
        lane.put(hostile.DICTIONARY_END_AT, end + len(raw))
        for id in (1, MILLION // 2, MILLION):
            lane.record(hostile.ADD, id)
        for scrape in range(1, 2 + MILLION // DEFINITIONS_PER_LANE):
            neighbour()
            large.collector.tick()
            if scrape % 50 == 1:
                assert large.samples().value("neighbour_jobs_total") == scrape
        found = large.samples()
        assert found.sum("hostile_jobs_total") == 3
        assert found.value("hostile_jobs_total", queue="00000001") == 1
        assert found.value("hostile_jobs_total", queue="__overflow__") == 2
        assert len(found.of("hostile_jobs_total")) <= Limits().series_per_family + 1
        assert found.sum("shmetrics_quota_exceeded_total") > 0
    options = {re.findall(r"see (store\.\w+)", line)[0] for line in caplog.messages}
    assert options == {"store.max_series_per_family", "store.max_series_per_lane"}
    assert len(caplog.messages) <= 2 * (1 + (time.monotonic() - began) // PAUSE_SECONDS)


def test_a_label_of_a_megabyte_breaks_its_lane_alone(
    large: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """No entry may be that long, whatever room there is."""
    with another(large) as lane:
        lane.series(JOBS.type, lane.family(JOBS), "fast")
        lane.record(hostile.ADD, 1)
        neighbour()
        lane.series(JOBS.type, 1, "x" * MIB)
        lane.record(hostile.ADD, 2)
        large.collector.tick()
        found = large.samples()
        assert found.of("shmetrics_quarantined_total") == {(("reason", "entry"),): 1}
        assert found.value("neighbour_jobs_total") == 1
        assert max(len(value) for labels in found for _, value in labels[1]) < 1024
    [line] = caplog.messages
    assert "(entry)" in line


def test_a_label_that_says_it_is_longer_than_its_entry(large: Loopback) -> None:
    with another(large) as lane:
        payload = bytearray(encode_strings(("fast",)))
        struct.pack_into("=H", payload, 2, 0xFFFF)
        lane.entry(layout.ENTRY_SERIES, JOBS.type, 1, lane.family(JOBS), bytes(payload))
        neighbour()
        large.collector.tick()
        found = large.samples()
        assert found.of("shmetrics_quarantined_total") == {(("reason", "text"),): 1}
        assert found.value("neighbour_jobs_total") == 1


def test_the_longest_label_that_fits_an_entry_is_not_kept(large: Loopback) -> None:
    """It counts without it."""
    with another(large) as lane:
        lane.series(JOBS.type, lane.family(JOBS), "x" * (layout.ENTRY_MAX_BYTES - 24))
        lane.record(hostile.ADD, 1)
        found = large.samples()
        assert found.value("hostile_jobs_total", queue="__overflow__") == 1
        assert found.of("shmetrics_quarantined_total") == {}


# What it writes over is its own lane; the drain reads it at the same time, on another core.
FLIP = """
import mmap, os, random, sys
fd, seed = map(int, sys.argv[1:])
rng = random.Random(seed)
memory = mmap.mmap(fd, os.fstat(fd).st_size)
places = [256, 264, 272, 280, 288, 512, 768, 1024]
print("ready", flush=True)
while True:
    at = rng.randrange(4096, len(memory))
    if rng.random() < 0.1:
        at = rng.choice(places) + rng.randrange(8)
    memory[at] ^= 1 << rng.randrange(8)
"""


def test_bytes_that_change_while_they_are_read(
    loopback: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process flips bits of its lane during the drains, until the lane is given up."""
    jobs = 0
    for seed in range(5):
        with another(loopback) as lane:
            for definition in (JOBS, SIZE, RPC):
                lane.series(definition.type, lane.family(definition), f"fast-{seed}")
            flipper = subprocess.Popen(
                [sys.executable, "-c", FLIP, str(lane.fd), str(seed)],
                pass_fds=[lane.fd],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert flipper.stdout is not None
            try:
                assert flipper.stdout.readline() == "ready\n"
                while [one["state"] for one in loopback.collector.lanes()][-1] == "open":
                    for series, kind in enumerate((hostile.ADD, hostile.OBSERVE), 1):
                        lane.record(kind, series)
                    neighbour()
                    jobs += 1
                    loopback.collector.tick()
            finally:
                flipper.kill()
                flipper.communicate()
        found = loopback.samples()
        assert found.value("neighbour_jobs_total") == jobs
        assert found.sum("shmetrics_quarantined_total") == seed + 1
        assert found.sum("shmetrics_quarantined_total", reason="internal") == 0
    assert len([line for line in caplog.messages if "breaks the contract" in line]) == 5
