# SPDX-License-Identifier: Apache-2.0
"""Accepted lines as series of ordinary instruments, so many of each unit and no more.

A metric is a gauge, unless its manifest says that it is a counter. Its labels are `unit`, `kind`
and the metadata that the configuration allows. The first unit that has a name says what it is:
another that says otherwise is refused. A series leaves with its unit, and before that if nobody
prints it any more.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from shmetrics.emitter.instruments import Gauge, ObservedCounter
from shmetrics.lines.line import Line, Metric, Refused
from shmetrics.lines.owner import Owner
from shmetrics.lines.unit_series import Key, UnitSeries

INFO = "shmetrics_unit_metric_info"


class Bounds(NamedTuple):
    """The bounds of what lines may record.

    Attributes:
        names: names of all units, ever; store.max_families_per_lane has to have room for them.
        names_per_unit: names that one unit may be the first to have, ever.
        series_per_unit: series of one unit at a time.
        units: units with series at a time.
    """

    names: int = 400
    names_per_unit: int = 50
    series_per_unit: int = 100
    units: int = 10_000


class Described(NamedTuple):
    """A metric as a manifest describes it.

    Attributes:
        type: `gauge` or `counter`.
        unit: the unit of its values, which becomes the end of the name.
        help: what it shows, for people.
        display_name: its name on pages.
        graph_type: how it is drawn there.
    """

    type: str = "gauge"
    unit: str = ""
    help: str = ""
    display_name: str = ""
    graph_type: str = ""

    @property
    def shape(self) -> tuple[str, str]:
        """Return what all units have to agree on."""
        return self.type, self.unit


class Recorded(NamedTuple):
    """The fate of a line.

    Attributes:
        line: the line with the metrics that were recorded; there may be none.
        refused: why others were not.
    """

    line: Line
    refused: tuple[Refused, ...]


_NOTHING: Mapping[str, Described] = {}
_PLAIN = Described()


class Recorder:
    """A recorder of lines, for one thread."""

    def __init__(
        self,
        labels: Sequence[str] = (),
        bounds: Bounds = Bounds(),  # noqa: B008
        mode: str = "livemostrecent",
        stale_seconds: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without series.

        Args:
            labels: the keys that become labels: of what is known of a unit, and of metadata.
            bounds: how much is recorded.
            mode: the multiprocess_mode of gauges: with `livemostrecent` they leave with this
                process, with `mostrecent` they outlive it.
            stale_seconds: the time after which a series leaves that is in no line any more.
            monotonic: a clock, in seconds.
        """
        self._labels = tuple(labels)
        self._bounds = bounds
        self._mode = mode
        self._stale_seconds = stale_seconds
        self._monotonic = monotonic
        self._families: dict[str, _Family] = {}
        self._first: Counter[tuple[str, str]] = Counter()  # names, by the unit that had them first
        self._units: dict[tuple[str, str], UnitSeries] = {}
        self._info: Gauge | None = None

    def record(
        self,
        owner: Owner,
        line: Line,
        described: Mapping[str, Described] = _NOTHING,
        script: str = "",
    ) -> Recorded:
        """Record each metric of a line that there is room for.

        Args:
            owner: the unit, which `owner.check` has compared with the line.
            line: the line.
            described: what the manifest says, by key or name.
            script: the script of the unit that has printed it; "": none, it was pushed.
        """
        values = tuple(
            owner.known.get(label) or line.metadata.get(label, "") for label in self._labels
        )
        recorded, refused = [], []
        for metric in line.metrics:
            said = described.get(metric.key) or described.get(metric.name) or _PLAIN
            try:
                self._set(owner, metric, values, said, script)
            except Refused as why:
                refused.append(why)
            else:
                recorded.append(metric)
        return Recorded(Line(tuple(recorded), line.metadata), tuple(refused))

    def end_run(self, unit: str, kind: str, script: str) -> None:
        """Remove what a script of a unit has printed before, and not in the run that has ended."""
        series = self._units.get((unit, kind))
        if series is not None:
            self._remove((unit, kind), series, series.end_run(script))

    def expire(self) -> None:
        """Remove the series of all units that were in no line for too long."""
        before = self._monotonic() - self._stale_seconds
        for unit, series in list(self._units.items()):
            self._remove(unit, series, series.set_before(before))

    def forget(self, unit: str, kind: str, script: str | None = None) -> None:
        """Remove the series of a unit that is gone, or of one of its scripts."""
        series = self._units.get((unit, kind))
        if series is not None:
            self._remove((unit, kind), series, series.of(script))

    def _remove(self, unit: tuple[str, str], series: UnitSeries, gone: Iterable[Key]) -> None:
        for key in gone:
            name, values = key
            self._families[name].instrument.remove(*unit, *values)
            series.remove(key)
            if self._info is not None and name not in series.keys:
                labels = dict(zip(("unit", "kind"), unit, strict=True))
                self._info.remove_by_labels({**labels, "metric": name})
        if not series:
            del self._units[unit]

    def _set(
        self,
        owner: Owner,
        metric: Metric,
        values: tuple[str, ...],
        described: Described,
        script: str,
    ) -> None:
        unit, key = (owner.unit, owner.kind), (metric.name, values)
        series = self._units.get(unit) or UnitSeries()
        if unit not in self._units and len(self._units) >= self._bounds.units:
            raise Refused("too_many", f"{owner.unit}: more than {self._bounds.units} units")
        other = series.keys.get(metric.name, metric.key)
        if other != metric.key:
            raise Refused(
                "two_names_one",
                f"{owner.unit}: {other} and {metric.key} are one name; rename one of them",
            )
        before = series.value(key)
        if before is None and len(series) >= self._bounds.series_per_unit:
            raise Refused("too_many", f"{owner.unit}: more than {len(series)} series")
        if described.type == "counter" and metric.value < 0:
            raise Refused("bad_value", f"{owner.unit}: {metric.key}: a counter is not negative")
        family = self._family(unit, metric, described)
        family.set((*unit, *values), metric.value, before)
        series.set(key, metric.key, metric.value, script, self._monotonic())
        self._units[unit] = series
        if before is None and (described.display_name or described.graph_type):
            self._describe(owner, metric, described)

    def _family(self, unit: tuple[str, str], metric: Metric, described: Described) -> _Family:
        found = self._families.get(metric.name)
        if found is None:
            if (
                len(self._families) >= self._bounds.names
                or self._first[unit] >= self._bounds.names_per_unit
            ):
                raise Refused("too_many", f"{unit[0]}: {metric.key}: one name too many")
            found = _Family(metric.name, described, self._labels, self._mode)
            self._families[metric.name] = found
            self._first[unit] += 1
        if found.described.shape != described.shape:
            was, now = ("a {} in {!r}".format(*it.shape) for it in (found.described, described))
            raise Refused("two_types", f"{unit[0]}: {metric.key} is {was}, and not {now}")
        return found

    def _describe(self, owner: Owner, metric: Metric, described: Described) -> None:
        if self._info is None:
            self._info = Gauge(
                INFO,
                "How manifests want metrics of units to be shown",
                ["unit", "kind", "metric", "display_name", "graph_type"],
                multiprocess_mode="livemostrecent",
            )
        self._info.labels(
            *(owner.unit, owner.kind, metric.name),
            *(described.display_name, described.graph_type),
        ).set(1)


class _Family:
    """The family of a name."""

    def __init__(self, name: str, described: Described, labels: Sequence[str], mode: str) -> None:
        self.described = described
        names = ("unit", "kind", *labels)
        text = described.help or described.display_name or f"{name}, as units print it"
        self.instrument: Gauge | ObservedCounter
        if described.type == "counter":
            self.instrument = ObservedCounter(name, text, names, unit=described.unit)
        else:
            unit = described.unit
            self.instrument = Gauge(name, text, names, unit=unit, multiprocess_mode=mode)

    def set(self, values: tuple[str, ...], value: float, before: float | None) -> None:
        """Set the value of a series, which may be that of a program that has begun anew."""
        if isinstance(self.instrument, Gauge):
            self.instrument.labels(*values).set(value)
        elif before is not None and value < before:
            self.instrument.labels(*values).new_generation(value)
        else:
            self.instrument.labels(*values).set_total(value)
