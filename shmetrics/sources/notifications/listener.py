# SPDX-License-Identifier: Apache-2.0
"""Takes notifications off the bus, and has their spans written into the trace store.

A notification is acknowledged once it is written: whoever is killed before that gets it again, and
the store knows a span that it has had. So the bus waits for the disk.

The queue is a pool's: oslo.messaging then copies notifications into it, and whoever else listens to
the same topic (Ceilometer, OSProfiler's own command) misses none.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import oslo_messaging
from oslo_config import cfg
from oslo_messaging.exceptions import MessagingException

import shmetrics
from shmetrics.errors import ConfigError
from shmetrics.sources.notifications.payload import EVENT_PREFIX, MOST_INFO_BYTES, Refused, event_of
from shmetrics.traces.traces import Traces

# Notifications in the process at a time; the broker would send all that it has.
PREFETCH: Final = 1000
WRITE_SECONDS: Final = 60.0


class Endpoint:
    """What oslo.messaging calls for each notification, in threads of its own."""

    def __init__(self, traces: Traces) -> None:
        self.results: Counter[str] = Counter()  # notifications, by what became of them
        self._traces = traces
        self._lock = threading.Lock()
        self._family = shmetrics.Counter(
            "profiler_notifications", "Notifications of OSProfiler's, by result", ["result"]
        )

    def info(self, ctxt: Any, publisher: Any, event: Any, payload: Any, metadata: Any) -> None:
        """OSProfiler sends with this priority only."""
        if not isinstance(event, str) or not event.startswith(EVENT_PREFIX):
            self._count("foreign")
            return
        try:
            found = event_of(payload, publisher, time.time_ns())
        except Refused as reason:
            self._count(str(reason))
            return
        with self._lock:  # the traces are brought by one thread at a time
            self._traces.add(lambda: [found], 1, MOST_INFO_BYTES)
        is_written = self._traces.settle(WRITE_SECONDS)
        self._count("taken" if is_written else "not_written")

    def _count(self, result: str) -> None:
        self._family.labels(result).inc()
        with self._lock:
            self.results[result] += 1


class Listener:
    """Listens from start() to stop()."""

    def __init__(
        self,
        transport_url: str,
        topics: Sequence[str],
        exchanges: Sequence[str],
        pool: str,
        endpoint: Endpoint,
    ) -> None:
        """Raises ConfigError; connects to nobody yet."""
        conf = cfg.ConfigOpts()
        conf([])
        try:
            self._transport = oslo_messaging.get_notification_transport(
                conf, _bounded(transport_url)
            )
        except MessagingException as error:
            raise ConfigError(f"--transport-url: {' '.join(str(error).split())}") from None
        targets = [
            oslo_messaging.Target(topic=topic, exchange=exchange)
            for topic in topics
            for exchange in exchanges
        ]
        self._server = oslo_messaging.get_notification_listener(
            self._transport, targets, [endpoint], executor="threading", pool=pool
        )
        self._has_started = threading.Event()

    def start(self) -> None:
        """Returns once it listens; a broker that is not there is waited for, and logged."""
        self._server.start()
        self._has_started.set()

    def stop(self) -> None:
        """Takes nothing more off the bus, and lets what is in hand be written."""
        if self._has_started.is_set():
            self._server.stop()
            self._server.wait()
            self._transport.cleanup()


def _bounded(transport_url: str) -> str:
    """With a limit to what RabbitMQ sends before it hears of the first."""
    if not transport_url.startswith("rabbit") or "rabbit_qos_prefetch_count=" in transport_url:
        return transport_url
    mark = "&" if "?" in transport_url else "?"
    return f"{transport_url}{mark}rabbit_qos_prefetch_count={PREFETCH}"
