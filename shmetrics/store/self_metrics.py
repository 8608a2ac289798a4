# SPDX-License-Identifier: Apache-2.0
"""The collector's metrics about itself.

Totals are kept in the store, so that they outlive the collector. Present states come from
prometheus_client, in a registry of its own.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from shmetrics import layout
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.histograms import CallFamily, HistogramFamily
from shmetrics.store.log import StoreFull
from shmetrics.store.stored_counter import CounterChild, StoredCounter

log = logging.getLogger(__name__)

_FAST = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Tally(NamedTuple):
    """The cells in which drains count events, by the name of the kind or of the cause."""

    events: dict[str, int]
    unbound: int
    spilled: int
    overflowed: int
    dropped: dict[str, int]


class SelfMetrics:
    """The collector's metrics about itself, one attribute each."""

    def __init__(self, version: str) -> None:
        """Define all metrics.

        Args:
            version: the version of the collector, for `shmetrics_build_info`.
        """
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        self.rate_limited = RateLimitedLog(log)
        self.counters: list[StoredCounter] = []

        def counter(name: str, help: str, *labels: str) -> StoredCounter:
            self.counters.append(StoredCounter(name, help, *labels))
            return self.counters[-1]

        def gauge(name: str, help: str, *labels: str) -> Gauge:
            return Gauge(f"shmetrics_{name}", help, labels, registry=registry)

        def seconds(name: str, help: str) -> Histogram:
            return Histogram(f"shmetrics_{name}", help, buckets=_FAST, registry=registry)

        self.build = gauge("build_info", "Version of the collector", "version")
        self.build.labels(version).set(1)
        self.lanes = gauge("lanes", "Lanes by state", "state")
        self.halted = gauge(
            "processes_halted",
            "Processes with a lane that do not run: stopped by a signal, traced, or frozen",
            "state",
        )
        self.retired = counter("lanes_retired", "Lanes whose process is gone")
        self.registrations = counter("registrations", "Registrations by result", "result")
        self.datagrams = counter(
            "oslo_metrics_datagrams", "Datagrams of the stock protocol, by result", "result"
        )
        self.events = counter(
            "events",
            "Records taken from rings, by kind; unknown when a collector was killed at them",
            "kind",
        )
        self.spilled = counter("spilled", "Events folded into totals because a ring was full")
        self.overflowed = counter(
            "overflowed", "Events counted without their labels: their lane had no room for these"
        )
        self.dropped = counter("dropped", "Events that could not be kept, by cause", "cause")
        self.unbound = counter(
            "unbound", "Events of refused families; of a counter, what was added"
        )
        self.refused = counter("refused_families", "Definitions not taken, by reason", "reason")
        self.quarantined = counter(
            "quarantined", "Lanes that broke the contract, by reason", "reason"
        )
        self.kicks = counter(
            "kicks", "Wake-ups by emitters, by whether their ring was filling", "result"
        )
        self.muted = counter("muted", "Lanes that kicked for nothing until nobody listened")
        self.families = gauge("families", "Families of the emitters")
        self.series = gauge("series", "Series of the emitters")
        self.overflow = counter(
            "series_overflow",
            "Label sets folded into an overflow series; those that a lane has no room for are one",
            "family",
        )
        self.coarse = counter(
            "coarse_observations",
            "Values of which only the classic bucket is known, because they were spilled",
            "family",
        )
        self.spans_lost = counter(
            "spans_lost", "Starts and stops of spans that were not kept, by reason", "reason"
        )
        self.spans_cut = counter(
            "spans_cut",
            "Starts and stops of spans whose info was not kept whole, by reason",
            "reason",
        )
        self.traces_expired = counter("traces_expired", "Traces let go, by limit", "limit")
        self.trace_failures = counter(
            "trace_store_failures", "Batches of spans that could not be written"
        )
        self.traces_anew = counter(
            "trace_store_anew",
            "Times that traces began anew, because their file was damaged, another's or gone",
        )
        self.clock_steps = counter(
            "clock_steps", "Times that the wall clock was set while spans came"
        )
        self.forwarded = counter("forwarded_spans", "Spans forwarded, by destination", "to")
        self.forward_lost = counter(
            "forward_lost", "Spans not forwarded, by destination and reason", "to", "reason"
        )
        self.forward_retries = counter(
            "forward_retries", "Batches that had to be sent once more, by destination", "to"
        )
        self.expired = counter("series_expired", "Series removed because they were idle")
        self.drain_seconds = seconds("drain_seconds", "Time of one pass over all lanes")
        self.scrape_seconds = seconds("scrape_seconds", "Time to answer one scrape")
        self.scrapes = counter("scrapes", "Scrapes answered")
        self.renderings = counter("renderings", "Times that the numbers of a scrape were taken")
        self.scrape_bytes = gauge("scrape_bytes", "Size of the latest scrape, uncompressed")
        self.left_out = gauge(
            "families_left_out",
            "Families that the latest scrape did not show, because their names cannot be told from "
            "others in its escaping scheme",
            "escaping",
        )
        self.http_refused = counter(
            "http_refused", "HTTP clients refused or cut off, by reason", "reason"
        )
        self.web_config_reloads = counter(
            "web_config_reloads", "Changes of the web configuration file, by result", "result"
        )
        self.store_bytes = gauge("store_bytes", "Bytes of the store in use")
        self._quota_used = gauge(
            "quota_used", "What is used of a quota; where each has one, by the fullest", "quota"
        )
        self._quota_limit = gauge("quota_limit", "How much of it there may be", "quota")
        self._quota_exceeded = counter("quota_exceeded", "What was refused because of it", "quota")

    def store_in(self, families: Families) -> None:
        """Let the counters go on from what the store holds. Raises StoreFull."""
        for counter in self.counters:
            counter.store_in(families)

    def reserve_cells(self, family: Family) -> None:
        """Reserve the cells that count a family's losses, while there is room for them."""
        with contextlib.suppress(StoreFull):
            if isinstance(family, HistogramFamily) and family.exponential is not None:
                family.count_coarse(self.coarse.cell(family.definition.name))
            self.overflow.cell(family.definition.name)
            if isinstance(family, CallFamily) and family.exceptions is not None:
                self.overflow.cell(family.exceptions.definition.name)

    def forget(self, families: Iterable[Family]) -> None:
        """Remove what was counted of families that are removed."""
        names = {(family.definition.name,) for family in families}  # of several shapes once
        with contextlib.suppress(StoreFull):  # the disk is full: then they stay
            for counter in (self.coarse, self.overflow):
                counter.forget(names)

    def tally(self) -> Tally:
        """Return the cells in which drains count. Raises StoreFull."""
        return Tally(
            {kind: self.events.cell(kind) for kind in layout.KIND_NAMES.values()},
            self.unbound.cell(),
            self.spilled.cell(),
            self.overflowed.cell(),
            {cause: self.dropped.cell(cause) for cause in layout.DROP_NAMES},
        )

    def exceeded(self, quota: str) -> CounterChild:
        """Return the counter of how often a quota was exceeded."""
        return self._quota_exceeded.labels(quota)

    def quota(self, name: str, limit: float, used: Callable[[], float]) -> CounterChild:
        """Show a quota from now on.

        Args:
            name: the value of the label `quota`.
            limit: the limit.
            used: called at every scrape; returns what is used. If each user, family or lane has a
                limit of its own, it returns the use of the one that uses most.

        Returns:
            The counter of how often the quota was exceeded.
        """
        self._quota_limit.labels(name).set(limit)
        self._quota_used.labels(name).set_function(used)
        return self._quota_exceeded.labels(name)
