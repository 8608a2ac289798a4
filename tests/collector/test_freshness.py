# SPDX-License-Identifier: Apache-2.0
"""A scrape shows every event that was published before it arrived: exactly, hundreds of times,
while emitters go on and other scrapes are under way."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest

from tests.nodes.node import Node
from tests.nodes.samples import Samples
from tests.servers.processes import until

SCRAPERS = 3
SCRAPES = 100  # of each
# How each emitter goes about it: events in a row, and a pause after them.
PACES = {"hasty": (500, 0.0), "steady": (20, 0.001), "seldom": (1, 0.02)}

# One turn is an event of each kind. The file holds how many turns have begun and are done, and
# whether to end; one word after the other, each written whole.
EMIT = """
import mmap, time
turns = memoryview(mmap.mmap(os.open(os.environ["TURNS"], os.O_RDWR), 24)).cast("Q")
in_a_row, pause_s = int(os.environ["IN_A_ROW"]), float(os.environ["PAUSE_S"])
me = [os.environ["NAME"]]
jobs = shmetrics.Counter("jobs", "Jobs", ["name"]).labels(*me)
size = shmetrics.Histogram("size", "Sizes", ["name"], buckets=[1.0]).labels(*me)
level = shmetrics.Gauge("level", "Level", ["name"]).labels(*me)
call = shmetrics.Calls("rpc", "Calls", ["name"]).labels(*me)
while not shmetrics.status()["connected"]:
    jobs.inc(0)
    time.sleep(0.01)
done = 0
while not turns[2]:
    for _ in range(in_a_row):
        done += 1
        turns[0] = done
        jobs.inc()
        size.observe(0.5)
        level.set(done)
        with call():
            pass
        turns[1] = done
    if pause_s:
        time.sleep(pause_s)
assert shmetrics.status()["dropped"] == {}, shmetrics.status()
"""

SHOWN = {
    "jobs_total": {},
    "size_count": {},
    "size_bucket": {"le": "1.0"},
    "rpc_invocation_start_total": {},
    "rpc_invocation_end_total": {},
    "rpc_processing_seconds_count": {},
}


class Turns:
    """The turns of an emitter, which it counts in a file, without the collector."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(24))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 24)
        self._words = memoryview(self._map).cast("Q")

    @property
    def begun(self) -> int:
        return self._words[0]

    @property
    def done(self) -> int:
        return self._words[1]

    def end(self) -> None:
        self._words[2] = 1

    def close(self) -> None:
        self._words.release()
        self._map.close()


@contextmanager
def emitters(node: Node, folder: Path) -> Iterator[dict[str, Turns]]:
    """Yield one emitter for each pace, free to run until the block ends."""
    turns = {name: Turns(folder / name) for name in PACES}
    started = [
        node.emitter(
            EMIT, NAME=name, TURNS=str(folder / name), IN_A_ROW=str(row), PAUSE_S=str(pause)
        )
        for name, (row, pause) in PACES.items()
    ]
    try:
        yield turns
    finally:
        for one in turns.values():
            one.end()
        for emitter in started:
            emitter.end()
        for one in turns.values():
            one.close()


def shown(found: Samples, name: str) -> dict[str, float]:
    """Return the samples of an emitter in a scrape, by name; 0 without a sample."""
    totals = {
        sample: found.get((sample, tuple(sorted({**labels, "name": name}.items()))), 0.0)
        for sample, labels in SHOWN.items()
    }
    levels = [v for labels, v in found.of("level").items() if dict(labels)["name"] == name]
    return {**totals, "level": sum(levels)}


def test_every_event_before_a_scrape_is_in_it(node: Node, tmp_path: Path) -> None:
    """A tick would come after a minute: whatever is seen, the scrape itself has fetched."""
    node.start("tick_seconds = 60")

    def scrape(number: int) -> list[str]:
        before = {name: one.done for name, one in turns.items()}
        found = node.samples()
        after = {name: one.begun for name, one in turns.items()}
        return [
            f"{name}: {sample} is {value:.0f}, not {before[name]} to {after[name]}"
            for name in turns
            for sample, value in shown(found, name).items()
            if not before[name] <= value <= after[name]
        ]

    with emitters(node, tmp_path) as turns, ThreadPoolExecutor(SCRAPERS) as scrapers:
        until(lambda: all(one.done for one in turns.values()), lambda: "nobody began", 30)
        wrong = [*chain(*scrapers.map(scrape, range(SCRAPERS * SCRAPES)))]
    assert wrong == []


@pytest.mark.parametrize("records", [1, 100])
def test_what_was_said_to_be_recorded_is_in_the_next_scrape(node: Node, records: int) -> None:
    """Check exact totals, a hundred times: no other event is under way."""
    node.start("tick_seconds = 60")
    emitter = node.emitter(
        f"""
        import time
        size = shmetrics.Histogram("size", "Sizes", buckets=[1.0]).labels()
        while not shmetrics.status()["connected"]:
            shmetrics.Counter("tries", "Tries").inc()
            time.sleep(0.01)
        for _ in range(100):
            for _ in range({records}):
                size.observe(0.5)
            pause("recorded")
        """
    )
    for scrape in range(1, 101):
        emitter.until("recorded")
        assert node.samples().value("size_count") == scrape * records
        emitter.go()
    emitter.end()
