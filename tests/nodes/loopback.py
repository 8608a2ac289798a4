# SPDX-License-Identifier: Apache-2.0
"""A collector in this very process, which records into a lane of it: no socket, no waiting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Collector, Settings
from shmetrics.collector.directory import Directory
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store.self_metrics import SelfMetrics
from tests.nodes.samples import Samples, samples_of

MIB = 1024 * 1024
# Nobody gives this process a larger lane than its first one.
LANES = LaneSettings(Sizes(dictionary_bytes=MIB // 8))
SMALL = Settings(store_bytes=4 * MIB, lanes=LANES)
THIS_PROCESS = Peer(os.getpid(), os.getuid(), os.getgid())


def open_collector(path: Path, settings: Settings = SMALL) -> tuple[Directory, Collector]:
    """Open a collector on path that nobody ticks."""
    directory = Directory(path)
    try:
        return directory, Collector(directory, settings, SelfMetrics("test"))
    except BaseException:
        directory.close()
        raise


class Loopback:
    """A collector in this process, which shows the events that the process itself records."""

    def __init__(self, path: Path, settings: Settings = SMALL) -> None:
        self.path = path
        self._settings = settings
        self.directory, self.collector = open_collector(path, settings)

    def attach(self, dictionary_bytes: int = 0) -> int:
        """Give this process a lane. Its events without one come along."""
        hello = Hello(layout.LAYOUT_VERSION, 0, "loopback", dictionary_bytes=dictionary_bytes)
        granted = self.collector.grant(THIS_PROCESS, hello)
        assert isinstance(granted, Granted)
        shmetrics.status()  # from now on this process can record
        _ring.process_attach(_ring.process_epoch(), _ring.Descriptor(granted.lane_fd))
        return granted.lane_id

    def restart(self) -> None:
        """Let another collector take over; this process keeps its lane."""
        self.release()
        self.reopen()

    def reopen(self) -> None:
        """Open a collector where there is none."""
        self.directory, self.collector = open_collector(self.path, self._settings)

    def release(self) -> None:
        """Close the collector, and forget it: its store is mapped while its arrays are there."""
        self.collector.close()
        self.directory.close()
        del self.collector, self.directory

    def samples(self, created: bool = False) -> Samples:
        return samples_of(self.collector.tables(), created)


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Loopback]:
    """Yield a collector to which this process is attached. Its earlier events are forgotten."""
    found = Loopback(tmp_path / "loopback")
    _ring.process_detach()
    found.attach()
    yield found
    _ring.process_detach()
    found.collector.tick()
    assert not list((found.path / "lanes").iterdir())
    found.release()
