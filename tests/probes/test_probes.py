# SPDX-License-Identifier: Apache-2.0
"""Promise: a gatherer's probes run in their turn, and whatever they do, it goes on.

Each test has a real spawner, started as a gatherer starts it, and real programs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric

from shmetrics.probes import discovery
from shmetrics.probes.callbacks import Callbacks
from shmetrics.probes.limits import ProbeLimits
from shmetrics.probes.output import Bounds
from shmetrics.probes.probe import Owner, Probe, Result
from shmetrics.probes.probes import Probes
from shmetrics.probes.spawner_client import Listening, SpawnerClient, Started
from tests.probes.asking import NOBODY, SECONDS, gone, is_running, numbers_in
from tests.probes.gears import Gear, own_files
from tests.servers.patience import async_until, until

pytestmark = pytest.mark.slow  # a spawner is started by the package, which nobody looks into

USER = NOBODY if os.geteuid() == 0 else os.geteuid()


class Gathered:
    """Probes of a test, and all that came of them."""

    def __init__(self, way: Started | Listening, limits: ProbeLimits) -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.families: list[tuple[str, list[Metric]]] = []
        self.results: list[Result] = []
        self.way = way
        self.client = SpawnerClient(way)
        callbacks = Callbacks(
            lambda probe, line: self.lines.append((probe.name, line)),
            lambda probe, found: self.families.append((probe.name, found)),
            lambda probe, lines: None,
            self.results.append,
        )
        self.probes = Probes(self.client, callbacks, limits)

    @property
    def spawner(self) -> int:
        """Return the pid of the spawner itself."""
        assert isinstance(self.way, Started)
        guardian = self.way.pid
        path = Path(f"/proc/{guardian}/task/{guardian}/children")
        until(lambda: path.read_text(), lambda: "no spawner", SECONDS)
        return int(path.read_text().split()[0])

    def result(self, name: str) -> Result:
        return next(each for each in self.results if each.probe.name == name)


@asynccontextmanager
async def gathering(
    folder: Path, probes: list[Probe], limits: ProbeLimits | None = None, more: str = ""
) -> AsyncIterator[Gathered]:
    """Yield probes with a spawner that may run them; see both end."""
    config = folder / "gather.toml"
    commands = "".join(
        f"[[gather.probe]]\nname = 'p{number}'\ncommand = {json.dumps(command)}\nuser = {USER}\n"
        for number, command in enumerate({probe.command: 1 for probe in probes})
    )
    config.write_text(f"[spawner]\ndirectories = ['{folder}/gears']\n{more}\n{commands}")
    found = Gathered(Started(str(config)), limits or ProbeLimits())
    found.probes.set(probes)
    try:
        yield found
    finally:
        found.probes.close()


def probe(name: str, script: str, unit: str = "", **more: Any) -> Probe:
    owner = Owner(unit or name, "gear" if unit else "probe", USER, "/")
    given = {"timeout_seconds": 20.0, **more}
    return Probe(owner, name, ("/bin/sh", "-c", script), **given)


def once(folder: Path, probes: list[Probe], limits: ProbeLimits | None = None) -> Gathered:
    """Run each probe once, and return what came of them."""

    async def run() -> Gathered:
        async with gathering(folder, probes, limits) as found:
            await found.probes.once()
            return found

    return asyncio.run(run())


def test_lines_and_results_are_handed_on(folder: Path) -> None:
    found = once(
        folder,
        [
            probe("good", "echo a=1; echo b=2; printf c=3; echo oh >&2"),
            probe("bad", "echo d=4; echo 'no room' >&2; exit 3"),
        ],
    )
    assert sorted(found.lines) == [
        ("bad", b"d=4"),
        ("good", b"a=1"),
        ("good", b"b=2"),
        ("good", b"c=3"),
    ]
    good, bad = found.result("good"), found.result("bad")
    assert (good.success, good.exit_code, good.problem, good.last_error) == (True, 0, "", "oh")
    assert 0 < good.duration_seconds < SECONDS
    assert (bad.success, bad.exit_code, bad.last_error) == (False, 3, "no room")
    assert bad.problem == "it ended with status 3"
    assert not any(map(bool, (found.probes.counts.killed, +found.probes.counts.skipped)))


def test_a_gear_s_commands_print_their_lines(folder: Path) -> None:
    """A gear as OpenShift lays it out: a cartridge with its manifest, and the hook."""
    gears = folder / "gears"
    gears.mkdir()
    gear = Gear(gears, "5502", USER)
    gear.cartridge()
    gear.hook()
    gear.give()
    probes, problems = discovery.of_gear(
        gear.owner, discovery.Timing(60, 20), own_files(gear.owner)
    )
    assert problems == []
    found = once(folder, probes)
    assert sorted(found.lines) == [
        (
            "action_hooks/metrics",
            b"type=metric thread.count=5 thread.active=2 heap.permgen.size=25000000",
        ),
        ("mock", b"type=metric cart=mock appName=A uptime=12.3"),
    ]
    assert all(result.success for result in found.results)
    assert found.result("mock").last_error == "hi"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_that_another_may_write_is_not_run(folder: Path) -> None:
    gears = folder / "gears"
    gears.mkdir()
    gear = Gear(gears, "5502", USER)
    cart = gear.cartridge()
    gear.give()
    (cart / "bin" / "control").chmod(0o775)
    probes, _ = discovery.of_gear(gear.owner, discovery.Timing(60, 20), own_files(gear.owner))
    found = once(folder, probes)
    assert found.lines == []
    assert found.probes.counts.skipped["untrusted"] == 1
    problem = found.result("mock").problem
    assert problem == f"{cart}/bin/control: others may write to it; chmod go-w {cart}/bin/control"


def test_prometheus_text_is_handed_on_as_families(folder: Path) -> None:
    good = "printf '# TYPE jobs_total counter\\njobs_total{queue=\"a\"} 5\\nload 0.5'"
    found = once(
        folder,
        [
            probe("good", good, format="prometheus"),
            probe("bad", "echo load 1; echo 'x{'", format="prometheus"),
            probe("failed", "echo load 1; exit 1", format="prometheus"),
            probe("nul", "printf 'load 1\\n\\0 2\\n'", format="prometheus"),
        ],
    )
    assert found.lines == []
    [(name, families)] = found.families
    assert name == "good"
    assert [(each.name, each.samples[0].value) for each in families] == [("jobs", 5), ("load", 0.5)]
    assert found.result("bad").problem.startswith("this is not the text format: ")
    assert found.result("nul").problem == "not all of its lines could be taken: control"
    assert found.probes.counts.lines_rejected == {"bad_text": 2, "control": 1}


def test_hostile_output_is_bounded_and_counted(folder: Path) -> None:
    found = once(
        folder,
        [
            probe("endless line", "cat /dev/zero | tr '\\0' x"),
            probe("a million lines", "yes a=1"),
            probe("zeros", "printf 'a=1\\n\\0b=2\\nc=3\\n'"),
            probe("binary", "printf '\\377\\376\\n'"),
            probe("endless errors", "yes oh >&2; echo a=1"),
        ],
        ProbeLimits(bounds=Bounds(lines=1000)),
    )
    taken = [name for name, _ in found.lines]
    assert taken.count("a million lines") == 1000
    assert [line for name, line in found.lines if name == "zeros"] == [b"a=1", b"c=3"]
    assert found.probes.counts.killed == {"output": 2}
    assert found.probes.counts.lines_rejected == {"beyond": 2, "control": 1, "not_utf8": 1}
    for name in ("endless line", "a million lines"):
        assert found.result(name).problem == "it was ended because it printed too much"
    assert found.result("endless errors").last_error == "oh"
    assert ("endless errors", b"a=1") in found.lines  # `yes` ended by itself: nobody reads it


def test_a_probe_has_its_time_and_so_has_a_unit(folder: Path) -> None:
    found = once(
        folder,
        [
            probe("late", "printf a=1; exec sleep 1000", timeout_seconds=0.2),
            probe("first", "exec sleep 1000", unit="u", timeout_seconds=0.5),
            probe("second", "exec sleep 1000", unit="u", timeout_seconds=5.0),
            probe("third", "echo never", unit="u"),
        ],
        ProbeLimits(most_at_once=1, unit_seconds=1.0, interval_seconds=3600),
    )
    counts = found.probes.counts
    assert counts.killed == {"timeout": 2, "unit_timeout": 1}  # `second` got what `first` had left
    assert +counts.skipped == {"unit_timeout": 1}
    assert found.result("third").problem == "the unit's probes have had their time"
    late = found.result("late")
    assert late.problem.startswith("it was ended after 0.")
    assert (late.success, late.exit_code) == (False, -signal.SIGTERM)
    assert counts.lines_rejected == {"incomplete": 1}


def test_a_probe_of_the_configuration_has_the_time_that_it_was_given(folder: Path) -> None:
    found = once(
        folder,
        [probe("long", "sleep 0.5; echo a=1", timeout_seconds=20.0)],
        ProbeLimits(unit_seconds=0.1, interval_seconds=3600),
    )
    assert found.result("long").success
    assert found.lines == [("long", b"a=1")]


def test_500_at_once_stay_within_the_bound(folder: Path, open_folder: Path) -> None:
    """The bound of the gatherer, which the spawner's confirms: it refuses what is beyond."""
    script = f"mkdir {open_folder}/$$ && ls {open_folder} | wc -l; rmdir {open_folder}/$$"
    probes = [probe(f"p{number}", script) for number in range(500)]

    async def run() -> Gathered:
        limits = ProbeLimits(most_at_once=5)
        async with gathering(folder, probes, limits, "most_at_once = 5") as found:
            await found.probes.once()
            return found

    found = asyncio.run(run())
    assert len(found.results) == 500
    assert all(result.success for result in found.results)
    assert not +found.probes.counts.skipped
    assert max(int(line) for _, line in found.lines) <= 5


def test_a_probe_slower_than_its_interval_never_overlaps_itself(
    folder: Path, open_folder: Path
) -> None:
    lock = open_folder / "lock"
    script = f"mkdir {lock} || echo overlap=1; echo run=1; sleep 0.7; rmdir {lock}"

    async def run() -> Gathered:
        slow = probe("slow", script, interval_seconds=0.25)
        async with gathering(folder, [slow]) as found:
            found.probes.start()
            await async_until(lambda: len(found.results) >= 3, lambda: found.results, SECONDS)
            return found

    found = asyncio.run(run())
    assert {line for _, line in found.lines} == {b"run=1"}
    assert found.probes.counts.skipped["running"] >= 3


def test_one_that_is_late_again_and_again_backs_off(folder: Path) -> None:
    async def run() -> Gathered:
        stuck = probe("stuck", "exec sleep 1000", interval_seconds=0.1, timeout_seconds=0.02)
        async with gathering(folder, [stuck], ProbeLimits(unit_seconds=1e9)) as found:
            found.probes.start()
            skipped = found.probes.counts.skipped
            await async_until(lambda: skipped["backing_off"] >= 8, lambda: skipped, SECONDS)
            return found

    assert asyncio.run(run()).probes.counts.killed["timeout"] >= 4


def test_a_spawner_killed_in_the_middle_is_started_again(folder: Path, open_folder: Path) -> None:
    pids = open_folder / "pids"
    script = f"echo $$ >> {pids}; (setsid sh -c 'echo $$ >> {pids}; sleep 1000' &); sleep 1000"

    async def run() -> Gathered:
        async with gathering(folder, [probe("long", script, interval_seconds=0.5)]) as found:
            found.probes.start()
            await asyncio.to_thread(numbers_in, pids, 2)
            first, guardian = found.spawner, found.way.pid if isinstance(found.way, Started) else 0
            os.kill(first, signal.SIGKILL)
            await async_until(lambda: found.results, lambda: "no result", SECONDS)
            await asyncio.to_thread(gone, *numbers_in(pids, 2), first, guardian or 0)
            assert found.results[0].problem == "the spawner has gone"
            assert found.probes.counts.killed["spawner_gone"] == 1
            await asyncio.to_thread(numbers_in, pids, 4)  # by the next one
            assert found.spawner != first
            return found

    found = asyncio.run(run())
    gone(*numbers_in(pids, 4))
    assert found.results[-1].problem == "it ended with the gatherer"


def test_without_a_spawner_it_goes_on_and_says_so(folder: Path) -> None:
    async def run() -> Gathered:
        found = Gathered(Listening(str(folder / "no.sock")), ProbeLimits())
        found.probes.set([probe("a", "true"), probe("b", "true")])
        await found.probes.once()
        found.probes.close()
        return found

    found = asyncio.run(run())
    assert found.probes.counts.skipped["no_spawner"] == 2
    first, second = (result.problem for result in found.results)
    assert first == f"there is no spawner: {folder}/no.sock: No such file or directory"
    assert second == "there is no spawner; it is tried again soon"


def test_a_run_that_ends_with_its_gatherer_is_no_failure_of_the_spawner(folder: Path) -> None:
    async def run() -> Gathered:
        async with gathering(folder, [probe("a", "sleep 60")]) as found:
            running = asyncio.create_task(found.probes.once())
            while not found.probes.running:
                await asyncio.sleep(0)
        await running
        return found

    found = asyncio.run(run())
    assert found.result("a").problem == "it ended with the gatherer"
    assert found.probes.counts.killed["spawner_gone"] == 0


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_when_a_gatherer_ends_nothing_is_left(folder: Path, open_folder: Path, how: str) -> None:
    """A gatherer in a process of its own, with probes that hear nothing."""
    pids = open_folder / "pids"
    config = folder / "gather.toml"
    script = f"trap '' TERM; (setsid sh -c 'echo $$ >> {pids}; sleep 1000' &); sleep 1000"
    config.write_text(
        f"[[gather.probe]]\nname='p'\ncommand={json.dumps(['/bin/sh', '-c', script])}\n"
        f"user={USER}\ntimeout_seconds=30\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", GATHERER, str(config)], stdin=subprocess.PIPE
    ) as gatherer:
        running = numbers_in(pids, 1)
        family = descendants(gatherer.pid)
        assert len(family) >= 3  # guardian, spawner, program
        assert all(map(is_running, [*running, *family]))
        if how == "killed":
            gatherer.kill()
        assert gatherer.stdin is not None
        gatherer.stdin.close()
        assert gatherer.wait(SECONDS) == (-signal.SIGKILL if how == "killed" else 0)
    gone(*running, *family)


GATHERER = """
import asyncio, sys
from shmetrics.config import spawner
from shmetrics.probes.discovery import configured
from shmetrics.probes.probes import Probes
from shmetrics.probes.callbacks import Callbacks
from shmetrics.probes.limits import ProbeLimits
from shmetrics.probes.spawner_client import SpawnerClient, Started

async def main():
    nothing = lambda *_: None
    probes = Probes(SpawnerClient(Started(sys.argv[1])), Callbacks(*[nothing] * 4), ProbeLimits())
    probes.set(configured(spawner.load(sys.argv[1]).probes, 0))
    running = asyncio.create_task(probes.once())
    await asyncio.to_thread(sys.stdin.read)
    probes.close()
    await running

asyncio.run(main())
"""


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found
