# SPDX-License-Identifier: Apache-2.0
"""Keep a small store of this version as text, with what a scrape shows of it.

    python -m tests.compatibility.store

writes data/store-<version>.json, once per version: whoever raises the store's version runs this
before, if there is no file for the version that is left, and after.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import textwrap
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Collector, Settings
from shmetrics.dictionary import Definition
from shmetrics.render import openmetrics
from shmetrics.store import boot, store
from shmetrics.store.family import Family
from shmetrics.store.limits import Limits
from tests.compatibility import layout as kept_layout
from tests.nodes.loopback import MIB, Loopback

DATA: Final = Path(__file__).with_name("data")

#: What the kept stores were made with; a family with more series has one that overflows.
SETTINGS: Final = Settings(store_bytes=MIB, limits=Limits(series_per_family=8))


class Shown(NamedTuple):
    """The families of emitters in a scrape.

    lines: samples of OpenMetrics. native: by family, for each series its native buckets that are
    not empty, as "number: count".
    """

    lines: list[str]
    native: dict[str, list[str]]


class Kept(NamedTuple):
    """A store of some version, and what a scrape showed of it then.

    undo: the facts of the undo entry, which is in the store and laid out in C.
    """

    version: int
    shown: Shown
    undo: dict[str, str]
    content: bytes

    def write(self, file: Path) -> None:
        """Write it as text."""
        packed = base64.b64encode(zlib.compress(self.content, 9)).decode()
        said = {"version": self.version, **self.shown._asdict(), "undo": self.undo}
        text = {"zlib": textwrap.wrap(packed, 96)}
        file.write_text(json.dumps({**said, **text}, indent=1) + "\n")


def read(file: Path) -> Kept:
    """Return a store that was kept."""
    said = json.loads(file.read_text())
    content = zlib.decompress(base64.b64decode("".join(said["zlib"])))
    return Kept(said["version"], Shown(said["lines"], said["native"]), said["undo"], content)


def kept() -> list[Path]:
    """Return the files of all versions that are kept."""
    return sorted(DATA.glob("store-*.json"))


def undo() -> dict[str, str]:
    """Return the facts of the undo entry as it is now."""
    return kept_layout.facts_of(kept_layout.headers(["undo.h"]), without={"shm_plan"})


def shown(collector: Collector) -> Shown:
    """Return what a scrape shows now."""
    tables = [
        table
        for table in collector.tables(native=True)
        if not table.name.startswith(("shmetrics_", "process_", "python_"))
    ]
    text = openmetrics.render(tables, {}, created=True).decode()
    lines = sorted(line for line in text.splitlines() if not line.startswith("#"))
    native = {
        table.name: [_buckets(table.native.first, counts) for counts in table.native.counts]
        for table in tables
        if table.native is not None
    }
    return Shown(lines, native)


def _buckets(first: int, counts: npt.NDArray[Any]) -> str:
    return ", ".join(f"{first + at}: {int(counts[at])}" for at in np.flatnonzero(counts))


def record() -> None:
    """Record something of every kind, with values that tell rows and cells apart."""
    jobs = shmetrics.Counter("jobs", "Jobs done", ["queue"])
    for n in range(10):  # more than a family may have
        jobs.labels(f"q{n}").inc(n + 0.5)
    jobs.labels('é"\\\n').inc()
    size = shmetrics.Histogram("size", "Sizes", ["kind"], unit="bytes", buckets=(1, 2, 4))
    for n in range(40):
        size.labels("small").observe(n / 10)
    size.labels("large").observe(1e9)
    for mode in ("sum", "min", "max", "mostrecent"):
        shmetrics.Gauge(f"level_{mode}", "Levels", multiprocess_mode=mode).set(2.5)
    call = shmetrics.Calls("rpc", "Calls", ["method"], buckets=(0.001, 1.0)).labels("build")
    for exception in (None, None, "KeyError"):
        call.end(call.start(), exception)
    shmetrics.Calls("hung", "Calls", buckets=(1.0,)).labels().start()  # until its process is gone


def forget(collector: Collector) -> None:
    """Let series and families go, before and after the log is written anew."""
    made = {}
    for name in ("brief", "gone"):
        definition = Definition(layout.TYPE_COUNTER, name, "Once", "", "", ("n",), ())
        family = collector.families.define(definition)
        assert isinstance(family, Family)
        for n in range(4):
            family.cells(family.row((str(n),)))[:] = np.float64(n + 1).view(np.uint64)
        made[name] = family
    brief, gone = made["brief"], made["gone"]
    brief.remove([brief.row(("0",))])
    gone.remove([gone.row(("0",))])
    collector.store.log.rewrite()
    brief.remove([brief.row(("2",))])
    brief.show_all()
    collector.families.remove([gone])


def make() -> Kept:
    """Return a store of this version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        node = Loopback(path, SETTINGS)
        node.attach()
        record()
        node.collector.tick()
        _ring.process_detach()
        node.collector.tick()  # the lane's process is gone: gauges and open calls are settled
        forget(node.collector)
        found = shown(node.collector)
        node.release()
        content = bytearray((path / "store").read_bytes())
    clock = slice(store._CLOCK_AT, store._CLOCK_AT + boot.CLOCK_BYTES)
    content[clock] = bytes(boot.CLOCK_BYTES)  # of the machine on which it was made
    return Kept(store.VERSION, found, undo(), bytes(content))


def main() -> int:
    """Write the file of this version, if there is none."""
    file = DATA / f"store-{store.VERSION}.json"
    if file.exists():
        print(f"{file}: is there, and shows what this version has to read", file=sys.stderr)
        return 1
    make().write(file)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
