# SPDX-License-Identifier: Apache-2.0
"""Series that come and go by the hundredfold of what the store holds: what lives keeps its total.

A slow twin counts the same in a dictionary. Processes with lanes of their own bring series of many
families, widths and users, live long or short, and die; collectors are restarted and killed.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.limits import Limits
from shmetrics.store.log import Log, StoreFull
from shmetrics.store.store import CellRun
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, Loopback

pytestmark = pytest.mark.slow

UIDS = (43, 44, 45)
BOUNDS = (0.001, 1.0, 900.0)  # and some 200 native buckets between them
WIDE = tuple(float(n) for n in range(1, 301))
KINDS = (
    *(Definition(layout.TYPE_COUNTER, f"jobs_{n}", "", "", "", ("x",), ()) for n in range(3)),
    *(Definition(layout.TYPE_HISTOGRAM, f"took_{n}", "", "", "", ("x",), BOUNDS) for n in (0, 1)),
    Definition(layout.TYPE_HISTOGRAM, "wide", "", "", "", ("x",), WIDE),
    Definition(layout.TYPE_CALLS, "calls", "", "", "", ("x",), (1.0, 2.0)),
)
RECORDS = {
    layout.TYPE_COUNTER: hostile.ADD,
    layout.TYPE_HISTOGRAM: hostile.OBSERVE,
    layout.TYPE_CALLS: hostile.CALL_START,
}
LIVE_PART = 0.5  # of the cells, and of a half of the log, that what lives has at the most

Key = tuple[int, str]  # a kind, and the label value


class Killed(BaseException):
    """A stand-in for a kill."""


class Process:
    """A process with some series, and what it has counted in each."""

    def __init__(self, node: Loopback, uid: int, keys: list[Key]) -> None:
        granted = node.collector.grant(
            Peer(1, uid, uid), Hello(layout.LAYOUT_VERSION, 64, "process")
        )
        assert isinstance(granted, Granted)
        self.lane = LaneFile(granted.lane_fd)
        self.counts = dict.fromkeys(keys, 0)
        self._series: dict[Key, int] = {}
        families: dict[int, int] = {}
        for kind, value in keys:
            definition = KINDS[kind]
            if kind not in families:
                families[kind] = self.lane.family(definition)
            series = self.lane.series(definition.type, families[kind], value)
            self._series[kind, value] = series

    def count(self, key: Key) -> None:
        self.lane.record(RECORDS[KINDS[key[0]].type], self._series[key])
        self.counts[key] += 1


def count_of(families: Families, key: Key) -> int | None:
    """Return the total of a series in the store; None without the series."""
    kind, value = key
    name = families.names.get(KINDS[kind].name)
    family = None if name is None else name.newest
    if family is None or family.folds((value,)):
        return None
    cells = family.cells(family.row((value,)))
    if KINDS[kind].type == layout.TYPE_COUNTER:
        return int(cells.view(float)[0])
    if KINDS[kind].type == layout.TYPE_CALLS:
        return int(cells[layout.CELL_STARTS])
    assert int(cells[layout.HISTOGRAM_BUCKETS :].sum()) == cells.view(float)[layout.CELL_SUM]
    return int(cells.view(float)[layout.CELL_SUM])


class Turnover:
    """A node with a small store, and the twin."""

    def __init__(self, path: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.node = Loopback(
            path / "node", Settings(MIB, Limits(series_per_family=400), store_bytes_per_uid=MIB)
        )
        self.processes: list[Process] = []
        self.born = 0
        self.may_be_folded: set[str] = set()

    # ---- what happens --------------------------------------------------------------------

    def live_cells(self) -> int:
        widths = {family.definition.name: family.width for family in self.node.collector.families}
        return sum(
            widths.get(KINDS[kind].name, 700)
            for process in self.processes
            for kind, _ in process.counts
        )

    def birth(self) -> None:
        """Start a process with up to some hundred series, if the living ones leave room for it."""
        kinds = self.random.sample(range(len(KINDS)), self.random.randint(1, 3))
        most = self.random.choice((1, 3, 20, 60))
        keys: list[Key] = []
        for kind in kinds:
            n = min(
                self.random.randint(1, most), 60 if KINDS[kind].type == layout.TYPE_COUNTER else 25
            )
            length = self.random.choice((1, 1, 40))
            keys += [(kind, f"{self.born}-{at:0{length}}") for at in range(n)]
        limit = LIVE_PART * self.node.collector.store.n_cells
        if self.live_cells() + sum(300 if kind != 5 else 900 for kind, _ in keys) > limit:
            self.death()
            return
        self.born += len(keys)
        self.scrape()
        self.processes.append(Process(self.node, self.random.choice(UIDS), keys))
        self.node.collector.drain()

    def death(self) -> None:
        """End a process; most die young."""
        if not self.processes:
            return
        at = max(self.random.randrange(len(self.processes)) for _ in range(3))
        self.node.collector.drain()
        process = self.processes.pop(at)
        process.lane.close()
        self.node.collector.tick()
        found = self.node.collector.families
        for key, count in process.counts.items():
            assert count_of(found, key) in (count, None)

    def events(self) -> None:
        for process in self.processes:
            for key in self.random.sample(list(process.counts), min(len(process.counts), 20)):
                process.count(key)
            if self.random.random() < 0.5:
                self.node.collector.drain()

    def scrape(self) -> None:
        self.node.collector.tables()

    def restart(self) -> None:
        self.node.restart()

    def kill(self) -> None:
        """Kill the collector at one of the next writes to the log."""
        left, before = self.random.randint(1, 8), self.random.random() < 0.5
        set_end = Log._set_end

        def killed(log: Log, end: int) -> None:
            nonlocal left
            left -= 1
            if left or not before:
                set_end(log, end)
            if not left:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Log, "_set_end", killed)
            before_it = list(self.processes)
            with contextlib.suppress(Killed):
                for _ in range(4):
                    self.birth()
        self.reopen()
        self.learn_folded([one for one in self.processes if one not in before_it])

    def learn_folded(self, born: list[Process]) -> None:
        """Forget counts of folded series: a new collector removes none before it has read all
        lanes."""
        families = self.node.collector.families
        for process in born:
            for kind, value in list(process.counts):
                if count_of(families, (kind, value)) is None:
                    del process.counts[kind, value]
                    self.may_be_folded.add(KINDS[kind].name)

    def reopen(self) -> None:
        """Let another collector take over from one that was killed."""
        for lane in self.node.collector._lanes:
            lane.bindings._bound.clear()  # a kill leaves nothing to release
            lane.bindings.lane_families._defined.clear()
        self.node.collector._lanes.close()
        self.node.collector.store.close()
        self.node.directory.close()
        del self.node.collector, self.node.directory
        self.node.reopen()

    # ---- what has to hold ----------------------------------------------------------------

    def check(self) -> None:
        """Check that each living series has its total, and that nothing was refused."""
        self.node.collector.drain()
        families = self.node.collector.families
        for process in self.processes:
            for key, count in process.counts.items():
                assert count_of(families, key) == count, key
        for family in families.of_emitters():
            if family.definition.label_names and family.definition.name not in self.may_be_folded:
                assert family.folds(family.overflow_values), family.definition.name

    def close(self) -> None:
        for process in self.processes:
            process.lane.close()
        self.node.collector.tick()
        self.node.release()


@contextlib.contextmanager
def turnover_in(path: Path, seed: int) -> Iterator[Turnover]:
    turnover = Turnover(path, seed)
    try:
        yield turnover
    finally:
        turnover.close()


def turn(turnover: Turnover, steps: int, kills: bool = False) -> None:
    """Turn series over, and check after every step."""
    rules = [turnover.birth] * 6 + [turnover.death] * 4 + [turnover.events] * 4 + [turnover.scrape]
    rules += [turnover.restart, turnover.kill] * kills
    for _ in range(steps):
        turnover.random.choice(rules)()
        turnover.check()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_what_lives_keeps_its_total_through_restarts_and_kills(seed: int) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="shm-turnover-") as folder,
        turnover_in(Path(folder), seed) as turnover,
    ):
        turn(turnover, 120, kills=True)


def test_no_family_starves_of_what_others_have_freed(tmp_path: Path) -> None:
    """Check a hundred times as many series as the store holds, some of which live on."""
    with turnover_in(tmp_path, 1) as turnover:
        crowds(turnover, 204)
        widths = [each.width for each in turnover.node.collector.families.of_emitters()]
        assert turnover.node.collector.store.log.expired > 95 * MIB * 3 // 4 // 8 / max(widths)


def test_without_spent_series_that_go_a_family_starves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmetrics.store.spent.SpentSeries.free_room", lambda self, owner: False)
    with turnover_in(tmp_path, 1) as turnover, pytest.raises(AssertionError):
        crowds(turnover, 9)


def test_lanes_follow_what_has_moved_although_the_disk_is_full_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check a move after which the empty chunk cannot be given back."""

    def full(family: Family, run: CellRun) -> None:
        raise StoreFull("no space left on device")

    monkeypatch.setattr("shmetrics.store.relocation.drop_chunk", full)
    with turnover_in(tmp_path, 1) as turnover:
        node = turnover.node
        crowd = Process(node, 43, [(3, f"first {at}") for at in range(200)])
        node.collector.drain()
        keeper = Process(node, 44, list(crowd.counts)[::20])
        crowd.lane.close()
        node.collector.tick()
        turnover.scrape()
        while node.collector._spent.free_room(None):
            pass
        turnover.processes.append(keeper)
        rows = rows_of(node)
        assert not node.collector._packing.free_room(None)
        assert rows_of(node) != rows
        for key in keeper.counts:
            keeper.count(key)
        turnover.check()


@pytest.mark.parametrize(("series", "share"), [(0, 0), (2, 0), (1, 1)])
def test_no_series_is_bound_to_what_is_not_there(tmp_path: Path, series: int, share: int) -> None:
    with turnover_in(tmp_path, 1) as turnover:
        turnover.processes.append(Process(turnover.node, 43, [(0, "one")]))
        turnover.node.collector.drain()
        [lane] = turnover.node.collector._lanes
        n_cells = turnover.node.collector.store.n_cells
        with pytest.raises(ValueError, match=r"no series|outside"):
            lane._drain.rebind(series, first=share * n_cells)


def rows_of(node: Loopback) -> dict[tuple[str, ...], int]:
    """Return the rows of the series of one family."""
    name = node.collector.families.names.get(KINDS[3].name)
    assert name is not None
    return {values: row for row, values in name.newest.index}


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "not packed"])
def test_series_that_live_on_keep_no_room_for_others(
    tmp_path: Path, is_packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that one of every twenty lives on, and that the rest is for another family."""
    if not is_packed:
        monkeypatch.setattr("shmetrics.store.packing.Packing.free_room", lambda self, owner: False)
    with turnover_in(tmp_path, 1) as turnover:
        node = turnover.node
        crowd = Process(node, 43, [(3, f"first {at}") for at in range(400)])
        node.collector.drain()
        keeper = Process(node, 44, list(crowd.counts)[::20])
        crowd.lane.close()
        node.collector.tick()
        turnover.scrape()
        others = Process(node, 43, [(4, f"then {at}") for at in range(400)])
        node.collector.drain()
        turnover.processes += [keeper, others]
        for process in turnover.processes:
            for key in list(process.counts)[:20]:
                process.count(key)
        if is_packed:
            turnover.check()
            for key in keeper.counts:
                keeper.count(key)
            turnover.check()
            node.restart()
            turnover.check()
        else:
            with pytest.raises(AssertionError):
                turnover.check()


def crowds(turnover: Turnover, n: int) -> None:
    """Let many series come and go at once, again and again; one in each chunk or so lives on."""
    node, keepers = turnover.node, []
    for number in range(n):
        kind = 3 + number % 2  # histograms
        keys = [(kind, f"{number}-{at}") for at in range(240)]
        crowd = Process(node, 43, keys)
        node.collector.drain()
        if number % 4 == 0:
            keepers.append(Process(node, 44, keys[7 * number % 240 :][:1]))
        turnover.processes = [*keepers, crowd]
        if number % 10 == 3:
            turnover.check()
        for keeper in keepers:
            keeper.count(*keeper.counts)
        node.collector.drain()
        turnover.processes.remove(crowd)
        crowd.lane.close()
        node.collector.tick()
        turnover.scrape()
