# SPDX-License-Identifier: Apache-2.0
"""Spans as OSProfiler's notifications, to a back-end of its own by connection string.

The driver is OSProfiler's, and so is what arrives there: the same dictionaries that a service would
have sent, a start and a stop for each span.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import osprofiler.drivers  # noqa: F401  (that makes them known)
from oslo_config import cfg
from osprofiler import _utils, opts
from osprofiler.drivers import base

from shmetrics.errors import ConfigError
from shmetrics.forward.destination import Destination
from shmetrics.forward.sender import TryAgain
from shmetrics.traces.reader import Span
from shmetrics.traces.times import iso

# Drivers that write a failure into their log and go on as if there was none.
_LOGGERS: Final = (
    "oslo_messaging.notify.messaging",
    "osprofiler.drivers.sqlalchemy_driver",
)
_SQL: Final = ("mysql", "postgresql")
_NOT_FOR_THIS: Final = {"jaeger": "Jaeger speaks OTLP: otlp+http://host:4318/v1/traces"}


class Backend:
    """A driver of OSProfiler's, made when there is something to send."""

    def __init__(
        self, destination: Destination, transport_url: str = "", timeout_seconds: float = 10.0
    ) -> None:
        """transport_url: the broker, for messaging://. Raises ConfigError."""
        self._where = _bounded(destination, timeout_seconds)
        self._transport_url = transport_url
        self._driver: Any = None
        scheme = destination.scheme
        if scheme in _NOT_FOR_THIS:
            raise ConfigError(f"{destination.name}: {_NOT_FOR_THIS[scheme]}")
        known = {driver.get_name() for driver in _utils.itersubclasses(base.Driver)}
        if scheme not in known and scheme.partition("+")[0] not in _SQL:
            raise ConfigError(f"{destination.name}: OSProfiler has no driver {scheme!r}")
        if scheme == "messaging" and not transport_url:
            raise ConfigError(f"{destination.name}: it takes a transport_url, rabbit://host:5672/")

    def send(self, spans: Sequence[Span]) -> int:
        with _failures() as failures:
            for n_sent, span in enumerate(spans):
                try:
                    self._notify(span)
                except Exception as error:
                    raise TryAgain(f"{type(error).__name__}: {error}", n_sent=n_sent) from None
                if failures:
                    raise TryAgain(failures[0], n_sent=n_sent)
        return 0

    def _notify(self, span: Span) -> None:
        driver = self._opened()
        # One driver for all: it looks at these when it has something to say.
        driver.project, driver.service, driver.host = span.project, span.service, span.host
        if hasattr(driver, "client") and hasattr(driver.client, "publisher_id"):
            driver.client.publisher_id = span.host
        for event in events_of(span):
            driver.notify(event)

    def _opened(self) -> Any:
        if self._driver is None:
            conf = cfg.ConfigOpts()
            conf([])
            opts.set_defaults(conf, enabled=True)
            # So that `osprofiler trace list --error-trace` finds them.
            conf.set_override("filter_error_trace", True, "profiler")
            more = {"transport_url": self._transport_url} if self._transport_url else {}
            with _failures() as failures:
                driver = base.get_driver(self._where, conf=conf, **more)
            if failures:
                raise ConnectionError(failures[0])
            self._driver = driver
        return self._driver

    def close(self) -> None:
        transport = getattr(self._driver, "transport", None)
        if transport is not None:
            transport.cleanup()
        self._driver = None


def events_of(span: Span) -> Iterator[dict[str, Any]]:
    """What OSProfiler said of a span, as far as it was heard."""
    for what, when_ns, info in (
        ("start", span.start_ns, span.start_info),
        ("stop", span.stop_ns, span.stop_info),
    ):
        if when_ns is not None:
            yield {
                "name": f"{span.name}-{what}",
                "base_id": str(uuid.UUID(bytes=span.trace)),
                "trace_id": str(uuid.UUID(bytes=span.id)),
                "parent_id": str(uuid.UUID(bytes=span.parent)),
                "timestamp": iso(when_ns),
                "project": span.project or None,
                "service": span.service or None,
                "info": {"host": span.host, **info},
            }


def _bounded(destination: Destination, timeout_seconds: float) -> str:
    """The connection string, so that nobody waits for ever."""
    if destination.scheme != "redis":
        return destination.text
    parts = urlsplit(destination.text)
    said = dict(parse_qsl(parts.query))
    waits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), timeout_seconds)
    return parts._replace(query=urlencode({**waits, **said})).geturl()


@contextmanager
def _failures() -> Iterator[list[str]]:
    """What drivers of this thread say in their logs, which goes no further."""
    found: list[str] = []
    thread = threading.get_ident()

    def heard(record: logging.LogRecord) -> bool:
        if record.thread != thread or record.levelno < logging.ERROR:
            return True
        error = record.exc_info[1] if record.exc_info else None
        found.append(record.getMessage()[:200] if error is None else _said(error))
        return False

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(heard)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeFilter(heard)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
