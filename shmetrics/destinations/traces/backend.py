# SPDX-License-Identifier: Apache-2.0
"""A sender to OSProfiler's back-ends, which a connection string names.

The driver is OSProfiler's. It gets the same dictionaries that a service would have sent, a start
and a stop for each span.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import osprofiler.drivers  # noqa: F401  (that makes them known)
from oslo_config import cfg
from osprofiler import _utils, opts
from osprofiler.drivers import base

from shmetrics.config.trace_destination import TraceDestination
from shmetrics.destinations.traces.bounded_calls import MOST_HANGING, BoundedCalls, CallTimeout
from shmetrics.errors import ConfigError
from shmetrics.forwarding.sender import Outcome, TryAgain
from shmetrics.traces.reader import StoredSpan
from shmetrics.traces.times import iso

# The logs of drivers that log a failure and do not raise it.
_LOGGERS: Final = (
    "oslo_messaging.notify.messaging",
    "osprofiler.drivers.sqlalchemy_driver",
)
_SQL: Final = ("mysql", "postgresql")


def _seconds(wait: float) -> int:
    return max(round(wait), 1)


def _milliseconds(wait: float) -> int:
    return max(round(wait * 1000), 1)


# The parameters of connection strings that limit how long the library waits, and their units. Each
# call here has a time limit in any case; but after its own time-out a library can be called again.
_MYSQL: Final = (_seconds, ("connect_timeout", "read_timeout", "write_timeout"))
_POSTGRESQL: Final = (_seconds, ("connect_timeout",))
_WAITS: Final[Mapping[str, tuple[Callable[[float], float], tuple[str, ...]]]] = {
    "redis": (float, ("socket_timeout", "socket_connect_timeout")),
    "mongodb": (
        _milliseconds,
        ("connectTimeoutMS", "socketTimeoutMS", "serverSelectionTimeoutMS"),
    ),
    **dict.fromkeys(("mysql", "mysql+pymysql", "mysql+mysqldb"), _MYSQL),
    **dict.fromkeys(("postgresql", "postgresql+psycopg2", "postgresql+psycopg"), _POSTGRESQL),
}
#: Errors that mean that a span can never be sent there: raised before anything is sent, …
_UNSAYABLE: Final = (TypeError, ValueError, ArithmeticError, LookupError, RecursionError)
#: … or answered by the back-end. Classes are given by name, as their library may be missing.
_REFUSALS: Final = frozenset(
    (
        "DataError",  # of DB-API, and of redis
        *("InvalidDocument", "InvalidStringData", "DocumentTooLarge", "WriteError"),  # MongoDB
        *("BadRequestError", "RequestError"),  # Elasticsearch
    )
)
#: A span that fails so often, while others arrive, is given up.
MOST_FAILURES: Final = 3
_NOT_FOR_THIS: Final = {"jaeger": "Jaeger speaks OTLP: otlp+http://host:4318/v1/traces"}


class Backend:
    """A sender through one of OSProfiler's drivers, which is made for the first span."""

    def __init__(
        self, destination: TraceDestination, transport_url: str = "", timeout_seconds: float = 10.0
    ) -> None:
        """Check the destination.

        Args:
            destination: the connection string.
            transport_url: the broker, for messaging://.
            timeout_seconds: the time limit of each call, and of a batch.

        Raises:
            ConfigError: OSProfiler has no driver for it, or the transport_url is missing.
        """
        self._where = _bounded(destination, timeout_seconds)
        self._transport_url = transport_url
        self._timeout_seconds = timeout_seconds
        self._calls = BoundedCalls(timeout_seconds)
        self._driver: Any = None
        self._hung: list[Any] = []  # pools of connections that a call hung in
        self._arrived = 0  # spans, ever
        # For spans that are tried again: how often each has failed while others arrived, and how
        # many spans had arrived at its last failure.
        self._failures: dict[bytes, tuple[int, int]] = {}
        scheme = destination.scheme
        if scheme in _NOT_FOR_THIS:
            raise ConfigError(_NOT_FOR_THIS[scheme])
        known = {driver.get_name() for driver in _utils.itersubclasses(base.Driver)}
        if scheme not in known and scheme.partition("+")[0] not in _SQL:
            raise ConfigError(f"OSProfiler has no driver {scheme!r}")
        if scheme == "messaging" and not transport_url:
            raise ConfigError(
                "transport_url is missing; set it, for example to rabbit://host:5672/"
            )

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        """Send spans one by one.

        If two in a row do not arrive, the back-end is taken to be down, and all spans that are left
        are tried again later. If only one does not arrive, that span is tried again.

        Raises:
            TryAgain: some spans have to be tried again.
        """
        self._disconnect()
        known = {span.id for span in spans}
        self._failures = {id: it for id, it in self._failures.items() if id in known}
        ends_at = time.monotonic() + self._timeout_seconds
        left, again = deque(spans), []
        failed, in_a_row, why = 0, 0, ""
        while left and in_a_row < 2 and time.monotonic() < ends_at:
            span = left.popleft()
            try:
                self._tell(span)
            except Exception as error:
                why = _described(error)
                if self._is_to_blame(span, error):
                    failed += 1
                else:
                    again.append(span)
                    in_a_row += 1
            else:
                self._arrived += 1
                in_a_row = 0
        # Spans that were not tried yet go first, because they may arrive.
        if again:
            raise TryAgain(why, left=[*left, *again], failed=failed)
        return Outcome(failed=failed, why=why, left=tuple(left))

    def _is_to_blame(self, span: StoredSpan, error: Exception) -> bool:
        """Return whether a span is to be given up, because it would never arrive."""
        names = {one.__name__ for one in type(error).__mro__}
        if isinstance(error, _UNSAYABLE) or names & _REFUSALS:
            return True
        n, arrived = self._failures.get(span.id, (0, -1))
        if self._arrived > arrived:
            n += 1
        self._failures[span.id] = n, self._arrived
        return n >= MOST_FAILURES

    def _tell(self, span: StoredSpan) -> None:
        try:
            if self._driver is None:
                self._driver = self._calls.call(self._opened)
        except Exception as error:
            raise ConnectionError(_described(error)) from None  # never the fault of the span
        driver = self._driver
        try:
            self._calls.call(lambda: _notify(driver, span))
        except CallTimeout:
            self._let_go()
            self._disconnect()
            raise

    def _opened(self) -> Any:
        conf = cfg.ConfigOpts()
        conf([])
        opts.set_defaults(conf, enabled=True)
        # With this, `osprofiler trace list --error-trace` finds the spans.
        conf.set_override("filter_error_trace", True, "profiler")
        more = {"transport_url": self._transport_url} if self._transport_url else {}
        with _raised():
            return base.get_driver(self._where, conf=conf, **more)

    def _let_go(self) -> None:
        """Forget a driver in the middle of a call. Its call ends when its connections do."""
        pool = getattr(getattr(self._driver, "db", None), "connection_pool", None)  # redis
        self._driver = None
        if pool is not None:
            self._hung = [*self._hung, pool][-MOST_HANGING:]

    def _disconnect(self) -> None:
        """End the connections of calls that hang. It is repeated, because redis reconnects."""
        for pool in self._hung:
            with suppress(Exception):
                pool.disconnect()

    def close(self) -> None:
        """Close the driver's connection, and let the helper thread end."""
        transport = getattr(self._driver, "transport", None)
        self._driver = None
        if transport is not None:
            with suppress(Exception):
                self._calls.call(transport.cleanup)
        self._calls.close()


def _notify(driver: Any, span: StoredSpan) -> None:
    # One driver sends the spans of all services: it reads these attributes for each event.
    driver.project, driver.service, driver.host = span.project, span.service, span.host
    if hasattr(driver, "client") and hasattr(driver.client, "publisher_id"):
        driver.client.publisher_id = span.host
    with _raised():
        for event in events_of(span):
            driver.notify(event)


def events_of(span: StoredSpan) -> Iterator[dict[str, Any]]:
    """Yield the start and the stop of a span, as far as they are known, in OSProfiler's form."""
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


def _bounded(destination: TraceDestination, timeout_seconds: float) -> str:
    """Return the connection string with time limits for its library."""
    if destination.scheme not in _WAITS:
        return destination.text
    unit, names = _WAITS[destination.scheme]
    parts = urlsplit(destination.text)
    said = parse_qsl(parts.query, keep_blank_values=True)
    waits = [(name, str(unit(timeout_seconds))) for name in names if name not in dict(said)]
    path = parts.path or ("/" if destination.scheme == "mongodb" else "")  # it wants one
    return parts._replace(path=path, query=urlencode([*waits, *said])).geturl()


@contextmanager
def _raised() -> Iterator[None]:
    """Raise the errors that drivers in this thread only log, and remove them from the log."""
    found: list[Exception] = []
    thread = threading.get_ident()

    def heard(record: logging.LogRecord) -> bool:
        if record.thread != thread or record.levelno < logging.ERROR:
            return True
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, Exception):
            error = ConnectionError(record.getMessage()[:200])
        found.append(error)
        return False

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(heard)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(heard)
    if found:
        raise found[0]


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
