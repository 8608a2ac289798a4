# SPDX-License-Identifier: Apache-2.0
"""The collector, which drains lanes into the store, and answers from it.

It starts no thread or loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from shmetrics.collector.directory import Directory
from shmetrics.collector.listing import Listing
from shmetrics.errors import ShmetricsError
from shmetrics.label_rules.rule import Rule
from shmetrics.lanes.deaths import Deaths
from shmetrics.lanes.grants import Grants, LaneSettings
from shmetrics.lanes.halt_watch import HaltWatch
from shmetrics.lanes.halts import Halts
from shmetrics.lanes.kicks import Kicks
from shmetrics.lanes.lane import LaneState, OpenCall
from shmetrics.lanes.lanes import Lanes
from shmetrics.lanes.spans import Spans
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.set_aside import set_aside
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges, GaugeValue, labels_of
from shmetrics.store.holders import COLLECTOR
from shmetrics.store.idle import IdleSeries
from shmetrics.store.inheritance import Inheritance
from shmetrics.store.limits import Limits
from shmetrics.store.log import StoreDamaged, StoreError, StoreFull
from shmetrics.store.observed import ObservedTotal
from shmetrics.store.packing import Packing
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.store.spent import MARGIN, SpentSeries
from shmetrics.store.store import Store
from shmetrics.store.unused import UnusedFamilies
from shmetrics.tables.family_tables import FamilyTables
from shmetrics.tables.in_flight import InFlight
from shmetrics.tables.registry import RegistryTables
from shmetrics.tables.table import Table
from shmetrics.tables.table_source import TableSource

log = logging.getLogger(__name__)


class Unforgettable(ShmetricsError):
    """An error: a family cannot be removed by hand. The message names it."""


class Settings(NamedTuple):
    """The settings of a collector.

    Attributes:
        store_bytes: the size of the store.
        limits: how much of the emitters' families is kept.
        lanes: how many lanes there may be, and how large a new one is.
        series_idle_seconds: the time after which an unchanged series is idle; 0 for never.
        label_rules: the rules for label values, in their order.
        store_bytes_per_uid: what one user's processes may fill of the store; 0 for all of it.
        old_shape_seconds: the time for which an old shape of a family stays that no process has.
        dead_gauge_seconds: the time after which gauges of a dead process leave, in modes with a
            series per process; 0 for never.
    """

    store_bytes: int = 256 * 1024 * 1024
    limits: Limits = Limits()
    lanes: LaneSettings = LaneSettings()
    series_idle_seconds: float = 0.0
    label_rules: Sequence[Rule] = ()
    store_bytes_per_uid: int = 0
    old_shape_seconds: float = 300.0
    dead_gauge_seconds: float = 0.0


class Collector:
    """The collector of a node. All of it runs in one thread."""

    def __init__(
        self,
        directory: Directory,
        settings: Settings,
        self_metrics: SelfMetrics,
        kicks: Kicks | None = None,
        deaths: Deaths | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        spans: Spans | None = None,
    ) -> None:
        """Open the store and the lanes of a directory, and drain once.

        A damaged store is set aside, and totals begin anew.

        Args:
            directory: the runtime directory, which is locked.
            settings: the collector's settings.
            self_metrics: the collector's metrics about itself.
            kicks: the watches on the lanes' files; None for none.
            deaths: the watches on the processes; None for none.
            monotonic_ns: returns the monotonic clock in nanoseconds.
            spans: takes the spans out of the lanes; None leaves them out.

        Raises:
            StoreError: the store cannot be opened.
        """
        self.self_metrics = self_metrics
        self._spans = spans
        self._monotonic_ns = monotonic_ns
        self._stopping = ""
        self._obstacles: list[Callable[[], str]] = [lambda: self._grants.obstacle()]
        try:
            self._open(directory, settings, kicks or Kicks(), deaths or Deaths())
        except StoreDamaged as error:
            try:
                aside = set_aside(directory.store)
            except OSError as problem:
                raise StoreError(f"{error}; it cannot be set aside: {problem.strerror}") from None
            log.error("%s; kept as %s, totals begin anew", error, aside)
            self._open(directory, settings, kicks or Kicks(), deaths or Deaths())
        self._lanes.catch_up()
        self.families.end_catching_up()
        self.tick()

    def _open(self, directory: Directory, settings: Settings, kicks: Kicks, deaths: Deaths) -> None:
        """Open the store, then the lanes. Raises StoreError."""
        per_uid = settings.store_bytes_per_uid
        self.store = Store(directory.store, settings.store_bytes, per_uid)
        try:
            self._open_families(settings)
        except StoreFull as error:
            self.store.close()
            raise StoreError(str(error)) from None
        except StoreError:
            self.store.close()
            raise
        self._lanes = Lanes(
            directory.lanes,
            self.families,
            self._gauges,
            self.self_metrics,
            settings.lanes.limits,
            kicks,
            deaths,
            self._in_flight.abandon,
            self._spans,
        )
        self._halt_watch = HaltWatch(Halts(), self._now)
        self._listing = Listing(self._lanes, self._in_flight, self._halt_watch, self._monotonic_ns)
        self._grants = Grants(self._lanes, self.families, self.self_metrics, settings.lanes)
        self._show_quotas(settings)
        self.families.is_catching_up = True
        try:
            self._lanes.reopen()
        except StoreError:
            self._lanes.close()
            self.store.close()
            raise

    def _open_families(self, settings: Settings) -> None:
        """Take up the families of the store, and join what keeps room for them.

        Raises:
            StoreFull: the store or its disk has no room.
            StoreError: the store cannot be used.
        """
        self.families = Families(
            self.store, settings.limits, self._overflow, label_rules=settings.label_rules
        )
        self.families.resize(settings.store_bytes)
        self._gauges = Gauges(self.families, settings.dead_gauge_seconds, self._now)
        self._in_flight = InFlight(self.families, self._open_calls, self._monotonic_ns)
        self._table_sources: Sequence[TableSource] = (
            self._in_flight,
            FamilyTables(self.families, self._gauges, self._living_values, self._observed_totals),
        )
        self._own: TableSource = RegistryTables(self.self_metrics.registry)
        self._idle = IdleSeries(self.families, settings.series_idle_seconds, self._living_gauges)
        inheritance = Inheritance(
            self.families,
            lambda moved: self._lanes.follow(moved),
            lambda: self._lanes.are_all_read(),
        )
        self._idle.pass_on_series = inheritance.pass_on_series
        self._unused = UnusedFamilies(
            self.families, self._idle, inheritance, self._now, settings.old_shape_seconds
        )
        self._spent = SpentSeries(
            self.families, self._idle, self._living_gauges, lambda: self._lanes.are_all_read()
        )
        self._packing = Packing(
            self.families,
            self._idle,
            lambda moved: self._lanes.follow(moved),
            lambda: self._lanes.are_all_read(),
        )
        self.store.scrapes.begin(self._now)
        self.self_metrics.store_in(self.families)
        self.families.remove_reserved()
        self.families.on_removed = self._forget_families
        self.families.remove_if_unused = self._unused.remove_if_unused
        self.families.free_family = self._unused.free_room
        self.store.free_room = self._free_room
        self.store.free_room_in = self._spent.free_room_in

    def _show_quotas(self, settings: Settings) -> None:
        """Show the quotas of families, series, labels, exemplars and the store."""
        quota, limits = self.self_metrics.quota, settings.limits
        quota("series_per_family", limits.series_per_family, self.families.most_series)
        quota("series_per_lane", limits.series_per_lane, self._lanes.most_series)
        quota("families", limits.families, self.families.limited)
        quota("families_per_uid", limits.families_per_uid, self.families.names.most_of_a_uid)
        quota("families_per_lane", limits.families_per_lane, self._lanes.most_families)
        quota("label_bytes", limits.label_bytes, self.families.longest_label_bytes)
        exemplars = self.families.exemplars
        self._displaced = quota("exemplars", limits.exemplars, lambda: len(exemplars))
        quota("store_bytes", self.store.size_bytes, lambda: self.store.used_bytes)
        per_uid = self.store.max_bytes_per_uid
        quota("store_bytes_per_uid", per_uid, self.store.most_bytes_of_a_uid)

    def _overflow(self, family: Family) -> None:
        """Count label values that were folded into a family's overflow series."""
        self.self_metrics.overflow.labels(family.definition.name).inc()

    def _forget_families(self, parts: Sequence[Family]) -> None:
        """Forget families that were removed."""
        self.self_metrics.forget(
            part for part in parts if not self.families.names.has(part.definition.name)
        )
        for family in parts:
            self._idle.forget(family)
            self._in_flight.forget(family)

    def _now(self) -> float:
        """Return the monotonic clock in seconds."""
        return self._monotonic_ns() / 1e9

    def _free_room(self, owner: int | None) -> bool:
        """Remove something unused of this owner, or of anybody for None; return if it did."""
        if self._packing.free_room(owner):
            return True
        is_less = self._spent.free_room(owner) or self._unused.free_room(owner)
        if is_less:
            self._packing.look_again()
        return is_less

    def _keep_room(self) -> None:
        """Make some room before it is needed, if little is left."""
        self._spent.check()
        self._packing.look_again()
        for owner in self.store.shares.short(MARGIN):
            self._free_room(owner)
        if self.store.is_short(MARGIN):
            self._free_room(None)

    def _living_gauges(self) -> set[tuple[Family, tuple[str, ...]]]:
        """Return the gauge series of living processes, which are never idle."""
        return {(value.family, labels_of(value)) for value in self._living_values()}

    def _living_values(self) -> list[GaugeValue]:
        """Return the gauges of living processes."""
        return [value for lane in self._lanes.with_state() for value in lane.gauge_values()]

    def _observed_totals(self) -> list[ObservedTotal]:
        """Return the observed totals of living processes."""
        return [total for lane in self._lanes.with_state() for total in lane.observed_totals()]

    def _open_calls(self) -> list[OpenCall]:
        """Return the open calls of all lanes."""
        return [call for lane in self._lanes.with_state() for call in lane.calls()]

    def tick(self) -> None:
        """Drain every lane, cut back files that have grown, and retire the lanes of dead processes.

        It also looks whether processes run, and removes idle series, gauges of processes that are
        long dead, and unused families.
        """
        self.drain()
        self._lanes.cut_back()
        self._lanes.retire_abandoned()
        self._lanes.heal()
        self._halt_watch.look(self._lanes)
        self.families.settle()
        self._gauges.check()
        self._idle.check(self._now())
        self._unused.check()
        self._keep_room()

    def drain(self) -> None:
        """Drain every lane once.

        Afterwards, everything that was published before the call is in the store.
        """
        with self.self_metrics.drain_seconds.time():
            self._lanes.drain_all()

    def grant(self, peer: Peer, hello: Hello) -> Granted | Refused:
        """Return a lane for a process that asks for one, or the reason why there is none."""
        return self._grants.grant(peer, hello)

    def is_recorded(self, pid: int, family: str) -> bool:
        """Return whether a process records a family in its lane, as of the last drain."""
        return self._lanes.recorded.take(pid, family)

    def retire_ended(self, lane_id: int) -> bool:
        """Retire the lane of a process that has ended; return False if a process still holds it."""
        return self._lanes.retire_ended(lane_id)

    def forget(self, text: str, force: bool) -> str:
        """Remove a family with all its series.

        Args:
            text: its name, or the name of one of its samples.
            force: whether it goes although processes have it. Their series begin again at zero.

        Returns:
            A line for people.

        Raises:
            Unforgettable: it cannot go; a line for people.
        """
        self.drain()  # so that nothing that was recorded before is counted after
        name = self.families.names.shown_as(text)
        if name is None:
            raise Unforgettable(f"{repr(text)[1:-1]}: there is no such metric")
        families, series = list(name), sum(map(len, name))
        if not all(family.is_limited for family in families) or name.has(COLLECTOR):
            raise Unforgettable(f"{name.line}: the collector counts in it itself")
        if name.is_held and not force:
            raise Unforgettable(
                f"{name.line}: {name.holder()} has it, or others do; with --force its series begin "
                "again at zero"
            )
        self._lanes.detach(families)
        try:
            self.families.remove(families)
        except StoreFull as full:
            raise Unforgettable(f"{name.line}: {full}") from None
        finally:
            self._lanes.reattach()
        log.info("%s forgotten by hand, with %d series", name.line, series)
        return f"{name.line}: forgotten, with {series} series"

    def stop(self, reason: str) -> None:
        """Stop being ready, for this reason."""
        self._stopping = reason

    def close(self) -> None:
        """Drain a last time, and close everything. Lanes and store stay for the next collector."""
        self.drain()
        self._lanes.retire_abandoned()
        self._lanes.close()
        if self._spans is not None:
            self._spans.close()
        self.store.close()

    # ---- answers ----------------------------------------------------------------------------

    def tables(self, native: bool = False) -> list[Table]:
        """Drain every lane, and return everything that there is to show.

        The tables are sorted by name; the collector's metrics about itself come last.

        Args:
            native: whether histograms have their exponential buckets, too.
        """
        self.drain()
        self.families.settle()
        self._idle.show_changed(self._now())
        self._measure()
        tables = [table for source in self._table_sources for table in source.tables(native)]
        tables.sort(key=lambda table: table.name)
        self.store.scrapes.note()
        self._unused.note_scrape()
        self._spent.look_again()
        return tables + self._own.tables(native)

    def _measure(self) -> None:
        """Set the collector's gauges about itself to the present state."""
        metrics = self.self_metrics
        for state in LaneState:
            metrics.lanes.labels(state.value).set(sum(lane.state is state for lane in self._lanes))
        for halt, n in self._halt_watch.counts().items():
            metrics.halted.labels(halt).set(n)
        families = [family for family in self.families if family.is_limited]
        metrics.families.set(len(families))
        metrics.series.set(sum(map(len, families)))
        metrics.store_bytes.set(self.store.used_bytes)
        metrics.expired.set_total(self.store.log.expired)
        self._displaced.inc(self.families.exemplars.displaced())

    def lanes(self) -> list[dict[str, object]]:
        """Return one dictionary per lane, for JSON."""
        return self._listing.lanes()

    def calls(self) -> list[dict[str, object]]:
        """Drain every lane, and return one dictionary per open call, the oldest first."""
        self.drain()  # so that the labels of the newest calls are known
        return self._listing.calls()

    def failed_calls(self) -> list[dict[str, object]]:
        """Drain every lane, and return one dictionary per failed call, the latest first."""
        self.drain()
        return self._listing.failed_calls()

    def healthy(self) -> tuple[bool, str]:
        """Return whether the process does its work, and a text about it."""
        return True, "draining"

    def add_obstacle(self, obstacle: Callable[[], str]) -> None:
        """Ask one more function before the collector is ready.

        Args:
            obstacle: returns the reason why nobody can register, or "".
        """
        self._obstacles.append(obstacle)

    def ready(self) -> tuple[bool, str]:
        """Return whether emitters and scrapers should come here, and the reason if not."""
        if self._stopping:
            return False, self._stopping
        problem = next(filter(None, (obstacle() for obstacle in self._obstacles)), "")
        return (False, f"nobody can register: {problem}") if problem else (True, "ready")
