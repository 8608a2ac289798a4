# SPDX-License-Identifier: Apache-2.0
"""The surroundings of an emitter: a collector on a private runtime directory, none, or the files of
another library."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contender import Timer

START_S = 30.0
DRAIN_S = 10.0
# Half a default ring: the emitter wakes the collector when so many records wait.
BURST_RECORDS = 2048


# In memory, as /run is: what writes a disk's pages back makes each of them cost a fault again.
MEMORY = "/dev/shm"


@contextmanager
def no_collector() -> Iterator[None]:
    """An empty runtime directory. Has to be entered before shmetrics is imported."""
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-", dir=MEMORY) as directory:
        os.environ["SHMETRICS_RUNTIME_DIR"] = directory
        yield


@contextmanager
def collector() -> Iterator[None]:
    """A collector of our own, ready. Has to be entered before shmetrics is imported."""
    with collector_process():
        yield


@contextmanager
def collector_on_this_core() -> Iterator[None]:
    """The same, both on one core: what it has drained is still in the caches of who writes next."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with collector_process():
        yield


@contextmanager
def collector_on_another_core() -> Iterator[None]:
    """The same, on two cores: every line that it has read has to be asked back."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})  # the collector inherits it
    with collector_process():
        os.sched_setaffinity(0, {cores[0]})
        yield


@contextmanager
def collector_process(config: str = "") -> Iterator[int]:
    """The same, and its pid. config: text of its configuration file."""
    with no_collector():
        directory = os.environ["SHMETRICS_RUNTIME_DIR"]
        command = [sys.executable, "-m", "shmetrics", "collector"]
        command += ["--runtime-dir", directory, "--listen", "127.0.0.1:0"]
        if config:
            path = Path(directory, "benchmark.toml")
            path.write_text(config)
            command += ["--config", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], START_S)
            if not (readable and process.stdout.readline()):
                raise RuntimeError("the collector did not become ready")
            yield process.pid
        finally:
            process.terminate()
            process.communicate()


@contextmanager
def multiprocess() -> Iterator[None]:
    """A folder for prometheus_client's files. Has to be entered before that is imported."""
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-", dir=MEMORY) as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        yield


def register(timer: Timer) -> Timer:
    """The same timer, once the collector has given this process a lane."""
    import shmetrics

    deadline = time.monotonic() + START_S
    while not shmetrics.status()["connected"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no lane: {shmetrics.status()['problem']}")
        timer(1)
        time.sleep(0.01)
    return timer


def wait_for_room() -> None:
    """Until the collector has taken so much that another burst fits."""
    from shmetrics import _ring

    deadline = time.monotonic() + DRAIN_S
    while _ring.process_status()["waiting"] > BURST_RECORDS:
        if time.monotonic() > deadline:
            raise RuntimeError("the collector does not drain")
        time.sleep(0.0002)


def in_bursts(timer: Timer, records_per_loop: int) -> Timer:
    """Off the clock, lets the collector drain after each half ring.

    This is a service's ordinary state: its ring has room. Without it, a loop that does nothing but
    record outruns any collector, and measures how events are folded when the ring is full.
    """
    burst = BURST_RECORDS // records_per_loop

    def bursts(loops: int) -> float:
        seconds = 0.0
        while loops > 0:
            seconds += timer(min(loops, burst))
            loops -= burst
            wait_for_room()
        return seconds

    return bursts
