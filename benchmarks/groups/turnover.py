# SPDX-License-Identifier: Apache-2.0
"""Ten thousand processes, one after the other, with label sets of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from benchmarks import world
from benchmarks.contender import Contender, Effort, Group, Timer, in_full
from benchmarks.groups.labels import anonymous_bytes, granted
from benchmarks.operations import incs

FIGURES = "SHMETRICS_BENCHMARK_TURNOVER"  # where the group's processes find the figures
PROCESSES = 10_000
LABEL_SETS = 100  # of a process, half of them of a counter and half of a histogram
SCRAPES = 100
FORKED_PART = 10  # a tenth of the processes is forked; of the others, the lanes are made here
QUARTERS = (1, 2, 3, 4)
CONFIG = """
tick_seconds = 0.1
[store]
max_series_per_family = {series}
"""


def forked(number: int) -> None:
    """A process that counts, and ends."""
    pid = os.fork()
    if pid:
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise RuntimeError("a process did not get a lane")
        return
    status = 1
    try:
        import shmetrics

        jobs = shmetrics.Counter("jobs_total", "Jobs", ["host", "queue"])
        took = shmetrics.Histogram("took_seconds", "Time", ["host", "queue"], buckets=(0.1, 1))
        world.register(incs(jobs.labels(f"fork-{number}", "first")))
        for at in range(LABEL_SETS // 2):
            jobs.labels(f"fork-{number}", f"{at}").inc()
            took.labels(f"fork-{number}", f"{at}").observe(0.2)
        status = 0
    finally:
        os._exit(status)


def lanes(first: int, count: int) -> None:
    """Lanes of so many processes, which end at once."""
    from shmetrics import layout
    from shmetrics.dictionary import Definition

    names = ("host", "queue")
    jobs = Definition(layout.TYPE_COUNTER, "jobs", "Jobs", "", "", names, ())
    took = Definition(layout.TYPE_HISTOGRAM, "took_seconds", "Time", "", "", names, (0.1, 1.0))
    kinds = {name: kind for kind, name in layout.KIND_NAMES.items()}
    with ExitStack() as opened:
        for number, lane in enumerate(granted(count, opened), first):
            for definition, kind in ((jobs, kinds["add"]), (took, kinds["observe"])):
                family = lane.family(definition)
                for at in range(LABEL_SETS // 2):
                    series = lane.series(definition.type, family, f"lane-{number}", f"{at}")
                    lane.record(kind, series, 0.2)


def scraped() -> dict[str, float]:
    """Return the collector's metrics about itself, without labels that tell samples apart."""
    url = json.loads(Path(os.environ["SHMETRICS_RUNTIME_DIR"], "collector.json").read_text())["url"]
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        if line.startswith("shmetrics_"):
            name = line.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(line.rpartition(" ")[2])
    return found


def turn_over(processes: int, path: str) -> None:
    """Let the processes come and go; write what the collector takes after each quarter."""
    figures: dict[str, float] = {}
    at_once = processes // SCRAPES
    n_forked = at_once // FORKED_PART
    series = LABEL_SETS * processes // 50  # in a full run, the default
    with world.collector_process(CONFIG.format(series=series)) as pid:
        for done in range(0, processes, at_once):
            for number in range(n_forked):
                forked(done + number)
            lanes(done, at_once - n_forked)
            deadline = time.monotonic() + 60
            while (now := scraped())["shmetrics_lanes_retired_total"] < done + at_once:
                if time.monotonic() > deadline:
                    raise RuntimeError("lanes are not retired")
                time.sleep(0.05)
            quarter, rest = divmod(4 * (done + at_once), processes)
            if not rest:
                figures[f"memory-{quarter}"] = anonymous_bytes(pid)
                figures[f"store-{quarter}"] = now["shmetrics_store_bytes"]
        figures["overflow"] = now.get("shmetrics_series_overflow_total", 0.0)
    if figures["overflow"]:
        raise RuntimeError(f"{figures['overflow']:.0f} label sets were folded")
    Path(path).write_text(json.dumps(figures))


@contextmanager
def turned_over() -> Iterator[None]:
    """The figures of one run, for all contenders."""
    with tempfile.NamedTemporaryFile(prefix="shmetrics-bench-") as file:
        processes = int(in_full(PROCESSES, PROCESSES // 10))
        run = multiprocessing.get_context("fork").Process(
            target=turn_over, args=(processes, file.name)
        )
        run.start()
        run.join()
        if run.exitcode:
            raise RuntimeError("the processes did not come and go")
        os.environ[FIGURES] = file.name
        try:
            yield
        finally:
            del os.environ[FIGURES]


def figure(key: str) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        found = json.loads(Path(os.environ[FIGURES]).read_text())[key]
        yield lambda loops: found * loops

    return stage


TURNOVER = Group(
    "turnover",
    "Ten thousand processes, one after the other: memory and store of the collector",
    f"Each brings {LABEL_SETS} label sets that no other has, a million in all, and ends. A tenth "
    "of them is forked; the others are lanes without a process. The limits are the default ones; a "
    "scraper comes after each hundred. The memory is the collector's anonymous one; of the store, "
    "what it uses. After the first quarter both are to stay as they are.",
    "memory-1",
    tuple(
        Contender(
            f"{what}-{quarter}", f"{title}, after {quarter * 2500:,}", figure(f"{what}-{quarter}")
        )
        for what, title in (("memory", "memory"), ("store", "store"))
        for quarter in QUARTERS
    ),
    unit="byte",
    effort=Effort(rounds=1, values=1, warmups=0, loops=1),
    around=turned_over,
)
