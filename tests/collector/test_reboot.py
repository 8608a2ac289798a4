# SPDX-License-Identifier: Apache-2.0
"""A node that is booted again: its clocks begin anew, and what was set before it is older."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.lanes import lane as lanes
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store import boot
from shmetrics.store.boot import moment
from shmetrics.store.store import Store
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import open_collector
from tests.nodes.opened import MIB, opened
from tests.nodes.samples import Samples, samples_of

VERSION = Definition(layout.TYPE_GAUGE, "version", "Version", "", "mostrecent", (), ())
SMALL = Settings(store_bytes=MIB)
MS = 1_000_000


class Machine:
    """A node whose clocks, reboots and processes a test says. Its wall clock has no say."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self._path = path
        self._boots = 1
        self.now_ns = 10**15
        self._processes: dict[int, LaneFile] = {}
        self._started = 0
        patch.setattr(boot, "clock", lambda: self._boots.to_bytes(boot.CLOCK_BYTES, "big"))
        patch.setattr(
            lanes,
            "time",
            SimpleNamespace(monotonic_ns=lambda: self.now_ns, monotonic=lambda: self.now_ns / 1e9),
        )
        self._open()

    def _open(self) -> None:
        self._directory, self._collector = open_collector(self._path, SMALL)

    def _close(self) -> None:
        self._collector.close()
        self._directory.close()
        del self._collector, self._directory

    def start(self, pid: int = 0) -> int:
        """Start a process that has such a gauge; return its number."""
        hello = Hello(layout.LAYOUT_VERSION, 64, "test")
        granted = self._collector.grant(Peer(pid, 0, 0), hello)
        assert isinstance(granted, Granted)
        lane = LaneFile(granted.lane_fd)
        lane.series(VERSION.type, lane.family(VERSION))
        self._started += 1
        self._processes[self._started] = lane
        return self._started

    def set(self, process: int, value: float, ahead_ns: int = 0) -> None:
        """Set a value in a process. ahead_ns: how far its stamp is in the future."""
        self.now_ns += MS
        lane = self._processes[process]
        lane.put_double(lane.parts["cells"][0], value)
        lane.put(lane.parts["cells"][0] + 8, self.now_ns + ahead_ns)
        lane.put(hostile.GAUGE_WRITES_AT, 1)

    def end(self, process: int) -> None:
        self._processes.pop(process).close()

    def tick(self) -> None:
        self._collector.tick()

    def restart(self) -> None:
        """Let another collector take over."""
        self._close()
        self._open()

    def reboot(self, uptime_ns: int) -> None:
        """End all processes after the collector, and begin the next one so long after the boot."""
        self._close()
        for process in list(self._processes):
            self.end(process)
        self._boots += 1
        self.now_ns = uptime_ns
        self._open()

    def samples(self) -> Samples:
        return samples_of(self._collector.tables())

    @property
    def shown(self) -> float | None:
        """Return the value of the gauge in a scrape; None without one."""
        return self.samples().get(("version", ()))

    def close(self) -> None:
        self._close()
        for process in list(self._processes):
            self.end(process)


uptimes = st.integers(1, 50).map(lambda days: days * 10**14) | st.just(10 * MS)
steps = st.lists(
    st.tuples(st.sampled_from(("start", "set", "set", "end", "tick", "restart")), st.integers(0, 5))
    | st.tuples(st.just("reboot"), uptimes),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_most_recent_value_is_the_one_that_was_set_last(steps: list[tuple[str, int]]) -> None:
    """Check any process, dead or alive, in any boot, with any looks meanwhile.

    It is 0 as long as no process has set it; one that never does changes nothing.
    """
    with (
        tempfile.TemporaryDirectory(prefix="shm-reboot-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        machine = Machine(Path(folder) / "run", patch)
        living: list[int] = []
        last: float | None = None
        for number, (what, which) in enumerate(steps):
            if what == "start" and len(living) < 4:
                living.append(machine.start())
                last = last or 0.0
            elif what == "set" and living:
                last = float(number + 1)
                machine.set(living[which % len(living)], last)
            elif what == "end" and living:
                machine.end(living.pop(which % len(living)))
            elif what == "tick":
                machine.tick()
            elif what == "restart":
                machine.restart()
            elif what == "reboot":
                machine.reboot(which)
                living = []
            assert machine.shown == last
        machine.close()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine(tmp_path / "run", monkeypatch)
    yield found
    found.close()


def test_a_stamp_of_the_future_counts_as_of_now(machine: Machine) -> None:
    """Check a process with another clock, or one that lies: once it is dead, others count again."""
    ahead, other = machine.start(), machine.start()
    machine.set(ahead, 1.0, ahead_ns=10**18)
    assert machine.shown == 1.0
    machine.end(ahead)
    machine.tick()
    machine.set(other, 2.0)
    assert machine.shown == 2.0
    machine.end(other)
    machine.set(machine.start(), 3.0, ahead_ns=2**64 - 1 - machine.now_ns - 2 * MS)
    machine.reboot(MS)
    machine.set(machine.start(), 4.0)
    assert machine.shown == 4.0


def test_what_was_set_while_no_collector_ran_is_compared_with_what_was_kept(
    machine: Machine,
) -> None:
    """Check values of the boot before: one process was taken over, the others end with the
    machine."""
    early, kept, late = machine.start(), machine.start(), machine.start()
    machine.set(early, 1.0)
    machine.set(kept, 2.0)
    machine.end(kept)
    machine.tick()
    machine.reboot(MS)
    assert machine.shown == 2.0
    late = machine.start()
    machine.set(late, 3.0)
    machine.reboot(MS)
    assert machine.shown == 3.0


def test_a_store_that_begins_anew_still_knows_this_boot(machine: Machine, tmp_path: Path) -> None:
    """Check a store that numbers boots from the first again, with the same lanes."""
    machine.reboot(MS)
    machine.reboot(MS)
    old = machine.start()
    (tmp_path / "run" / "store").unlink()
    machine.restart()
    new = machine.start()
    machine.set(new, 1.0)
    machine.set(old, 2.0)
    assert machine.shown == 2.0


def test_a_lane_of_another_version_is_of_this_boot(machine: Machine, tmp_path: Path) -> None:
    """Check an upgrade of the collector while services run, whose lanes do not name a clock."""
    old = machine.start()
    [path] = (tmp_path / "run" / "lanes").glob("*.json")
    known = json.loads(path.read_text())
    del known["clock"]
    path.write_text(json.dumps(known))
    machine.restart()
    machine.set(machine.start(), 1.0)
    machine.set(old, 2.0)
    assert machine.shown == 2.0


def test_a_store_that_did_not_number_boots_has_values_of_an_earlier_one(
    machine: Machine, tmp_path: Path
) -> None:
    """Check a store with stamps in nanoseconds, of an uptime of ten years."""
    process = machine.start()
    machine.set(process, 1.0)
    machine.end(process)
    machine.tick()
    machine.restart()
    kept = moment(boot.FIRST, machine.now_ns)
    path = tmp_path / "run" / "store"
    store = path.read_bytes()
    assert store.count(struct.pack("=Q", kept)) == 1
    ten_years = 10 * 365 * 86400 * 10**9
    store = store.replace(struct.pack("=Q", kept), struct.pack("=Q", ten_years))
    path.write_bytes(store[:88] + bytes(24) + store[112:])
    machine.restart()
    assert machine.shown == 1.0
    machine.set(machine.start(), 2.0)
    assert machine.shown == 2.0


# ---- the parts ------------------------------------------------------------------------------

boots = st.integers(1, boot.LAST)
stamps = st.integers(0, 2**64 - 1)


@given(boots, stamps, boots, stamps)
def test_moments_are_in_the_order_of_boots_and_then_of_stamps(
    boot_a: int, stamp_a: int, boot_b: int, stamp_b: int
) -> None:
    """Check moments in 64 bits, to 16 us."""
    one, other = moment(boot_a, stamp_a), moment(boot_b, stamp_b)
    assert 0 < one < 2**64
    if (boot_a, stamp_a // 2**14) < (boot_b, stamp_b // 2**14):
        assert one < other
    if boot_a == boot_b and abs(stamp_a - stamp_b) >= 2**14:
        assert (one < other) == (stamp_a < stamp_b)


def test_boots_are_numbered_by_their_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numbers(name: bytes) -> tuple[int, int, int]:
        monkeypatch.setattr(boot, "clock", lambda: name.ljust(boot.CLOCK_BYTES))
        store = Store(tmp_path / "store", MIB)
        a, b = (store.boot_of(one.ljust(boot.CLOCK_BYTES)) for one in (b"a", b"b"))
        found = store.boot, a, b
        store.close()
        return found

    first = boot.FIRST
    assert numbers(b"a") == (first, first, first - 1)
    assert numbers(b"a") == (first, first, first - 1)
    assert numbers(b"b") == (first + 1, first, first + 1)
    assert numbers(b"a") == (first + 2, first + 2, first + 1)
    monkeypatch.setattr(boot, "LAST", first + 2)
    assert numbers(b"b") == (first + 2, first + 1, first + 2)


def test_a_store_of_another_size_goes_on_with_its_boots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def number(name: bytes, size_bytes: int) -> int:
        monkeypatch.setattr(boot, "clock", lambda: name.ljust(boot.CLOCK_BYTES))
        with opened(tmp_path / "store", MIB) as families:
            families.resize(size_bytes)
            return families.store.boot

    assert number(b"a", MIB) == boot.FIRST
    assert number(b"b", MIB) == boot.FIRST + 1
    assert number(b"b", 2 * MIB) == boot.FIRST + 1
    assert number(b"c", 4 * MIB) == boot.FIRST + 2
    assert number(b"c", 4 * MIB) == boot.FIRST + 2


def test_a_clock_is_named_by_its_boot_and_its_time_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(boot_id: str, offsets: str) -> bytes:
        for path, text in ((tmp_path / "boot", boot_id), (tmp_path / "offsets", offsets)):
            path.write_text(text) if text else path.unlink(missing_ok=True)
        return boot.clock()

    real = boot.clock()
    assert real == boot.clock()
    monkeypatch.setattr(boot, "_BOOT_ID", tmp_path / "boot")
    monkeypatch.setattr(boot, "_OFFSETS", tmp_path / "offsets")
    none = "monotonic  0  0\nboottime  0  0\n"
    ahead = "monotonic  1000000  0\nboottime  0  0\n"
    names = [name("one\n", none), name("two\n", none), name("one\n", ahead), name("one\n", "")]
    assert len({*names, name("", ""), real}) == 6
    assert {len(one) for one in names} == {boot.CLOCK_BYTES}
    assert name("one\n", none) == names[0]
    assert name("", "") == name("", "")
