# SPDX-License-Identifier: Apache-2.0
"""The listener that takes notifications from the bus into the trace store.

A notification is acknowledged after it is written. A listener that is killed before that gets it
again, and the store recognizes a span that it has. So the bus waits for the disk.

The queue belongs to a pool: oslo.messaging copies notifications into it, and other listeners to the
same topic (Ceilometer, OSProfiler's own command) miss none.
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

from shmetrics.errors import ConfigError
from shmetrics.sources.notifications.exchanges import connect_as, why_silent
from shmetrics.sources.notifications.payload import EVENT_PREFIX, MOST_INFO_BYTES, Refused, event_of
from shmetrics.sources.source import TAKEN, Count
from shmetrics.traces.traces import Traces

# The most notifications in the process at a time. Without it the broker would send all that it has.
PREFETCH: Final = 1000
WRITE_SECONDS: Final = 60.0


class Endpoint:
    """The endpoint that oslo.messaging calls for each notification, in its own threads.

    Attributes:
        results: the number of notifications by result: `taken`, `not_written`, `foreign`, or the
            reason of a refusal.
    """

    def __init__(self, traces: Traces, count: Count = lambda result: None) -> None:
        self.results: Counter[str] = Counter()  # notifications, by what became of them
        self._traces = traces
        self._lock = threading.Lock()
        self._count_result = count

    def info(self, ctxt: Any, publisher: Any, event: Any, payload: Any, metadata: Any) -> None:
        """Store the span event of a notification. OSProfiler uses only the priority info."""
        if not isinstance(event, str) or not event.startswith(EVENT_PREFIX):
            self._count("foreign")
            return
        try:
            found = event_of(payload, publisher, time.time_ns())
        except Refused as reason:
            self._count(str(reason))
            return
        with self._lock:  # only one thread at a time may add to the traces
            self._traces.add(lambda: [found], 1, MOST_INFO_BYTES)
        is_written = self._traces.settle(WRITE_SECONDS)
        self._count(TAKEN if is_written else "not_written")

    def _count(self, result: str) -> None:
        self._count_result(result)
        with self._lock:
            self.results[result] += 1


class Listener:
    """A source that listens on the bus, from start() to close()."""

    def __init__(
        self,
        transport_url: str,
        topics: Sequence[str],
        exchanges: Sequence[str],
        pool: str,
        endpoint: Endpoint,
    ) -> None:
        """Prepare the listener. It does not connect yet.

        Args:
            transport_url: the broker.
            topics: the topics to listen to.
            exchanges: the exchanges in which each topic is looked for.
            pool: the pool to which the queue belongs.
            endpoint: called for each notification.

        Raises:
            ConfigError: the transport_url is wrong.
        """
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
        self._exchanges = exchanges

    def start(self) -> None:
        """Begin to listen. If the broker is down, wait for it, and log that."""
        self._server.start()
        self._has_started.set()

    def why_silent(self, seconds: float) -> str:
        """Return a line about exchanges, if nothing has come for so many seconds. Never raises."""
        return why_silent(self._exchanges, connect_as(self._transport), seconds)

    def close(self) -> None:
        """Take nothing more from the bus, and wait until the spans in hand are written."""
        if self._has_started.is_set():
            self._server.stop()
            self._server.wait()
            self._transport.cleanup()


def _bounded(transport_url: str) -> str:
    """Return the URL with a limit for the notifications that RabbitMQ sends in advance."""
    if not transport_url.startswith("rabbit") or "rabbit_qos_prefetch_count=" in transport_url:
        return transport_url
    mark = "&" if "?" in transport_url else "?"
    return f"{transport_url}{mark}rabbit_qos_prefetch_count={PREFETCH}"
