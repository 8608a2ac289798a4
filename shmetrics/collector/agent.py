# SPDX-License-Identifier: Apache-2.0
"""The collector's metrics about itself, made with prometheus_client in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

_FAST = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Agent:
    """One attribute per metric."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"shmetrics_{name}", help, labels, registry=registry)

        def gauge(name: str, help: str, *labels: str) -> Gauge:
            return Gauge(f"shmetrics_{name}", help, labels, registry=registry)

        def seconds(name: str, help: str) -> Histogram:
            return Histogram(f"shmetrics_{name}", help, buckets=_FAST, registry=registry)

        self.build = gauge("build_info", "Version of the collector", "version")
        self.build.labels(version).set(1)
        self.lanes = gauge("lanes", "Lanes by state", "state")
        self.retired = counter("lanes_retired", "Lanes whose process is gone")
        self.registrations = counter("registrations", "Registrations by result", "result")
        self.datagrams = counter(
            "oslo_metrics_datagrams", "Datagrams of the stock protocol, by result", "result"
        )
        self.events = counter("events", "Records drained, by kind", "kind")
        self.spilled = counter("spilled", "Events folded into totals because a ring was full")
        self.dropped = counter("dropped", "Events that could not be kept, by cause", "cause")
        self.unbound = counter("unbound", "Records of families that were refused")
        self.refused = counter("refused_families", "Definitions not taken, by reason", "reason")
        self.quarantined = counter(
            "quarantined", "Lanes that broke the contract, by reason", "reason"
        )
        self.families = gauge("families", "Families of the emitters")
        self.series = gauge("series", "Series of the emitters")
        self.overflow = counter(
            "series_overflow", "Label sets folded into an overflow series", "family"
        )
        self.drain_seconds = seconds("drain_seconds", "Time of one pass over all lanes")
        self.scrape_seconds = seconds("scrape_seconds", "Time to answer one scrape")
        self.scrapes = counter("scrapes", "Scrapes answered")
        self.renderings = counter("renderings", "Times that the text of a scrape was made")
        self.scrape_bytes = gauge("scrape_bytes", "Size of the latest scrape, uncompressed")
        self.http_connections = gauge("http_connections", "Connections of HTTP clients")
        self.http_connections_limit = gauge(
            "http_connections_limit", "Most connections of HTTP clients there may be"
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

    def quota(self, name: str, limit: float, used: Callable[[], float]) -> Counter:
        """Shows a quota from now on; returns what counts the times that it was exceeded.

        used is asked at every scrape; where the limit is one for each of many (users, families,
        lanes), it tells of the one that uses most.
        """
        self._quota_limit.labels(name).set(limit)
        self._quota_used.labels(name).set_function(used)
        return self._quota_exceeded.labels(name)
