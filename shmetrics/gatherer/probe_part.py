# SPDX-License-Identifier: Apache-2.0
"""The part of the gatherer that runs probes, and records what they print and how they went."""

from __future__ import annotations

import logging
import os
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from shmetrics import Counter, Gauge
from shmetrics.gatherer.lines import Lines
from shmetrics.gatherer.owners import Owners
from shmetrics.gatherer.samples import Samples
from shmetrics.lines.owner import Owner
from shmetrics.lines.recorder import Described
from shmetrics.probes import discovery
from shmetrics.probes.callbacks import Callbacks
from shmetrics.probes.discovery import Timing
from shmetrics.probes.gear_files import GearFiles, ListedFiles, OwnFiles
from shmetrics.probes.limits import ProbeLimits
from shmetrics.probes.probe import Key, Probe, Result
from shmetrics.probes.probe import Owner as ProbeOwner
from shmetrics.probes.probes import Probes
from shmetrics.probes.spawner_client import SpawnerClient
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.units.unit import Unit

if TYPE_CHECKING:
    from prometheus_client import Metric

log = logging.getLogger(__name__)

# A gear is asked in one of so many passes whether it has other commands by now; they take turns.
_TURNS: Final = 10
_LABELS: Final = ("unit", "kind", "script")


class ProbePart:
    """The probes of units and of the configuration. It follows each pass over units."""

    part = "probes"

    def __init__(
        self,
        client: SpawnerClient,
        configured: Iterable[Probe],
        timing: Timing | None,
        limits: ProbeLimits,
        lines: Lines,
        samples: Samples,
        owners: Owners,
    ) -> None:
        """Set what runs, and where its output goes.

        Args:
            client: the connection with the spawner.
            configured: the probes of the configuration.
            timing: when the commands of units run; None: never.
            limits: the limits of all.
            lines: takes metric lines.
            samples: takes what is printed in the text format.
            owners: knows what is known of a unit.
        """
        self._configured = list(configured)
        self._timing = timing
        self._lines = lines
        self._samples = samples
        self._owners = owners
        self._of_units: dict[str, list[Probe]] = {}  # by the unit's path
        self._line_owners: dict[Key, Owner] = {}
        self._described: dict[Key, Mapping[str, Described]] = {}
        self._paths: dict[Key, str] = {}
        self._listed: dict[str, ListedFiles] = {}  # by the unit's path
        self._looked: dict[str, Unit] = {}
        self._number = 0
        self._rate_limited = RateLimitedLog(log)
        mode = "livemostrecent"
        self._success = Gauge(
            "script_success", "Whether the last run went well", _LABELS, multiprocess_mode=mode
        )
        self._seconds = Gauge(
            *("script_duration_seconds", "Time of the last run", _LABELS), multiprocess_mode=mode
        )
        self._exit_code = Gauge(
            "script_exit_code", "Exit status of the last run", _LABELS, multiprocess_mode=mode
        )
        self._counters = {
            "killed": Counter("shmetrics_probe_killed", "Runs that were ended", ["reason"]),
            "skipped": Counter("shmetrics_probe_skipped", "Runs that were not made", ["reason"]),
            "lines_rejected": Counter(
                "shmetrics_probe_lines_rejected", "Lines of output that were not taken", ["reason"]
            ),
        }
        self._counted: dict[str, Tally[str]] = {name: Tally() for name in self._counters}
        callbacks = Callbacks(
            self._take_line, self._take_families, self._take_files, self._take_result
        )
        self._probes = Probes(client, callbacks, limits)
        self._probes.set(self._configured)

    def start(self) -> None:
        """Run probes from now on, each in its turn."""
        self._probes.start()

    async def close(self) -> None:
        """End what runs."""
        self._probes.close()
        self.count()

    def record(self, units: Mapping[str, Unit]) -> None:
        """Look which commands the units of a pass have.

        Args:
            units: the units that there are now, by id.
        """
        self._owners.keep(units)
        for path in self._looked.keys() - units.keys():
            self._forget(path)
        for turn, (path, unit) in enumerate(units.items()):
            is_its_turn = (turn + self._number) % _TURNS == 0
            if self._looked.get(path) is not unit or is_its_turn:
                self._looked[path] = unit
                self._find(path, unit)
        self._number += 1
        self._samples.expire()
        self._set()
        self.count()

    def count(self) -> None:
        """Add what did not go as it should since the last time."""
        for name, tally in self._probes.counts._asdict().items():
            for reason, n in tally.items():
                self._counters[name].labels(reason).inc(n - self._counted[name][reason])
            self._counted[name] = tally.copy()

    def _set(self) -> None:
        """Set which probes there are."""
        self._probes.set(
            [*self._configured, *(one for found in self._of_units.values() for one in found)]
        )

    def _find(self, path: str, unit: Unit) -> None:
        if self._timing is None or unit.uid is None or unit.home is None:
            return
        owner = ProbeOwner(unit.name, unit.kind, unit.uid, unit.home)
        files: GearFiles | None = OwnFiles(unit.home, unit.uid)
        found: list[Probe] = []
        may_enter = os.access(unit.home, os.R_OK | os.X_OK, effective_ids=True)
        if not may_enter and os.path.isdir(unit.home):
            files = self._listed.get(path)
            found.append(discovery.lister(owner, self._timing, files is not None))
        if files is not None:
            commands, problems = discovery.of_gear(owner, self._timing, files)
            found += commands
            for problem in problems:
                self._rate_limited.warning(problem, problem, culprit=path)
            if isinstance(files, ListedFiles):
                self._owners.learn(unit, files)
        known = self._owners.of(unit)
        gone = {one.key for one in self._of_units.get(path, ())} - {one.key for one in found}
        for key in gone:
            self._remove(key, unit.kind)
        self._of_units[path] = found
        for probe in found:
            self._describe(probe, path, known)

    def _describe(self, probe: Probe, path: str, known: Owner) -> None:
        """Take note of the unit that a probe prints about, and of what its lines mean."""
        said = {"cart": probe.cart, **known.known} if probe.cart else known.known
        self._line_owners[probe.key] = known._replace(known=said)
        self._paths[probe.key] = path
        self._described[probe.key] = {
            name: Described(
                metric.type or "gauge",
                metric.unit,
                metric.help,
                metric.display_name,
                metric.graph_type,
            )
            for name, metric in probe.metrics.items()
        }

    def _forget(self, path: str) -> None:
        unit = self._looked.pop(path)
        self._listed.pop(path, None)
        for probe in self._of_units.pop(path, ()):
            self._remove(probe.key, unit.kind)
        self._lines.forget(unit.name, unit.kind)

    def _remove(self, key: Key, kind: str) -> None:
        unit, name = key
        for gauge in (self._success, self._seconds, self._exit_code):
            gauge.remove(unit, kind, name)
        self._line_owners.pop(key, None)
        self._described.pop(key, None)
        self._paths.pop(key, None)
        self._lines.forget(unit, kind, name)

    def _take_line(self, probe: Probe, line: bytes) -> None:
        owner = self._line_owners.get(probe.key) or Owner(probe.owner.unit, probe.owner.kind)
        self._lines.take(owner, line, probe.name, self._described.get(probe.key, {}))

    def _take_families(self, probe: Probe, families: list[Metric]) -> None:
        self._samples.record(
            probe.key, families, {"unit": probe.owner.unit, "kind": probe.owner.kind}
        )

    def _take_files(self, probe: Probe, lines: list[bytes]) -> None:
        path = self._paths.get(probe.key)
        unit = None if path is None else self._looked.get(path)
        if path is None or unit is None:
            return  # it is gone
        self._listed[path] = ListedFiles(probe.owner.home, lines)
        self._find(path, unit)
        self._set()

    def _take_result(self, result: Result) -> None:
        labels = (result.probe.owner.unit, result.probe.owner.kind, result.probe.name)
        self._success.labels(*labels).set(int(result.success))
        self._seconds.labels(*labels).set(result.duration_seconds)
        self._exit_code.labels(*labels).set(result.exit_code)
        if result.success:
            self._lines.end_run(*labels)
