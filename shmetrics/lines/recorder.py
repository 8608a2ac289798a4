# SPDX-License-Identifier: Apache-2.0
"""Accepted lines as series of ordinary instruments, so many of each unit and no more.

A metric is a gauge, unless its manifest says that it is a counter. Its labels are `unit`, `kind`
and the metadata that the configuration allows. The first unit that has a name says what it is:
another that says otherwise is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shmetrics.emitter.instruments import Gauge, ObservedCounter
from shmetrics.lines.line import Line, Metric, Refused
from shmetrics.lines.owner import Owner

INFO = "shmetrics_unit_metric_info"


class Bounds(NamedTuple):
    """How much lines may record.

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
    """What a manifest says of a metric.

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
    """What became of a line.

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
    ) -> None:
        """Begin without series.

        Args:
            labels: the keys that become labels: of what is known of a unit, and of metadata.
            bounds: how much is recorded.
            mode: the multiprocess_mode of gauges: with `livemostrecent` they leave with this
                process, with `mostrecent` they outlive it.
        """
        self._labels = tuple(labels)
        self._bounds = bounds
        self._mode = mode
        self._families: dict[str, _Family] = {}
        self._first: Counter[tuple[str, str]] = Counter()  # names, by the unit that had them first
        self._units: dict[tuple[str, str], _UnitSeries] = {}
        self._info: Gauge | None = None

    def record(
        self, owner: Owner, line: Line, described: Mapping[str, Described] = _NOTHING
    ) -> Recorded:
        """Record each metric of a line that there is room for.

        Args:
            owner: the unit, which `owner.check` has compared with the line.
            line: the line.
            described: what the manifest says, by key or name.
        """
        values = tuple(
            owner.known.get(label) or line.metadata.get(label, "") for label in self._labels
        )
        recorded, refused = [], []
        for metric in line.metrics:
            said = described.get(metric.key) or described.get(metric.name) or _PLAIN
            try:
                self._set(owner, metric, values, said)
            except Refused as why:
                refused.append(why)
            else:
                recorded.append(metric)
        return Recorded(Line(tuple(recorded), line.metadata), tuple(refused))

    def forget(self, unit: str, kind: str) -> None:
        """Remove the series of a unit that is gone."""
        gone = self._units.pop((unit, kind), None)
        if gone is not None:
            for name, values in gone.totals:
                self._families[name].instrument.remove(unit, kind, *values)
            if self._info is not None:
                self._info.remove_by_labels({"unit": unit, "kind": kind})

    def _set(
        self, owner: Owner, metric: Metric, values: tuple[str, ...], described: Described
    ) -> None:
        key = owner.unit, owner.kind
        series = self._units.get(key) or _UnitSeries()
        if key not in self._units and len(self._units) >= self._bounds.units:
            raise Refused("too_many", f"{owner.unit}: more than {self._bounds.units} units")
        other = series.keys.get(metric.name, metric.key)
        if other != metric.key:
            raise Refused(
                "two_names_one",
                f"{owner.unit}: {other} and {metric.key} are one name; rename one of them",
            )
        is_new = (metric.name, values) not in series.totals
        if is_new and len(series.totals) >= self._bounds.series_per_unit:
            raise Refused("too_many", f"{owner.unit}: more than {len(series.totals)} series")
        if described.type == "counter" and metric.value < 0:
            raise Refused("bad_value", f"{owner.unit}: {metric.key}: a counter is not negative")
        family = self._family(key, metric, described)
        family.set((*key, *values), metric.value, series.totals.get((metric.name, values)))
        series.keys[metric.name] = metric.key
        series.totals[metric.name, values] = metric.value
        self._units[key] = series
        if is_new and (described.display_name or described.graph_type):
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


class _UnitSeries:
    """The series of a unit: keys by name, and the last value by name and labels."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.totals: dict[tuple[str, tuple[str, ...]], float] = {}


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
