# SPDX-License-Identifier: Apache-2.0
"""Spans as OSProfiler's notifications, to a back-end of its own by connection string.

The driver is OSProfiler's, and so is what arrives there: the same dictionaries that a service would
have sent, a start and a stop for each span.
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

from shmetrics.destinations.bounded_calls import MOST_HANGING, BoundedCalls, CallTimeout
from shmetrics.destinations.destination import Destination
from shmetrics.destinations.sender import Outcome, TryAgain
from shmetrics.errors import ConfigError
from shmetrics.traces.reader import StoredSpan
from shmetrics.traces.times import iso

# Drivers that write a failure into their log and go on as if there was none.
_LOGGERS: Final = (
    "oslo_messaging.notify.messaging",
    "osprofiler.drivers.sqlalchemy_driver",
)
_SQL: Final = ("mysql", "postgresql")


def _seconds(wait: float) -> int:
    return max(round(wait), 1)


def _milliseconds(wait: float) -> int:
    return max(round(wait * 1000), 1)


# What says in a connection string how long its library waits, and in what unit. A call is not
# waited for longer than that anyway; but a library that gives up by itself can be called again.
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
#: What says that a span cannot be said there, whoever listens: raised before anything is sent, …
_UNSAYABLE: Final = (TypeError, ValueError, ArithmeticError, LookupError, RecursionError)
#: … or told by the place. Classes of libraries by their names: none of them needs to be there.
_REFUSALS: Final = frozenset(
    (
        "DataError",  # of DB-API, and of redis
        *("InvalidDocument", "InvalidStringData", "DocumentTooLarge", "WriteError"),  # MongoDB
        *("BadRequestError", "RequestError"),  # Elasticsearch
    )
)
#: A span that fails so often, while others arrive, is itself to blame.
MOST_FAILURES: Final = 3
_NOT_FOR_THIS: Final = {"jaeger": "Jaeger speaks OTLP: otlp+http://host:4318/v1/traces"}


class Backend:
    """A driver of OSProfiler's, made when there is something to send."""

    def __init__(
        self, destination: Destination, transport_url: str = "", timeout_seconds: float = 10.0
    ) -> None:
        """transport_url: the broker, for messaging://. Raises ConfigError."""
        self._where = _bounded(destination, timeout_seconds)
        self._transport_url = transport_url
        self._timeout_seconds = timeout_seconds
        self._calls = BoundedCalls(timeout_seconds)
        self._driver: Any = None
        self._hung: list[Any] = []  # pools of connections that a call hung in
        self._arrived = 0  # spans, ever
        # Of spans that are tried again: how often each has failed with others arriving meanwhile,
        # and how many had arrived then.
        self._failures: dict[bytes, tuple[int, int]] = {}
        scheme = destination.scheme
        if scheme in _NOT_FOR_THIS:
            raise ConfigError(f"{destination.name}: {_NOT_FOR_THIS[scheme]}")
        known = {driver.get_name() for driver in _utils.itersubclasses(base.Driver)}
        if scheme not in known and scheme.partition("+")[0] not in _SQL:
            raise ConfigError(f"{destination.name}: OSProfiler has no driver {scheme!r}")
        if scheme == "messaging" and not transport_url:
            raise ConfigError(f"{destination.name}: it takes a transport_url, rabbit://host:5672/")

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        """One after the other. Where two in a row do not arrive it is the place, and all that are
        left are tried again; where one does not, the next one says so."""
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
                why = _said(error)
                if self._is_to_blame(span, error):
                    failed += 1
                else:
                    again.append(span)
                    in_a_row += 1
            else:
                self._arrived += 1
                in_a_row = 0
        # What was not tried goes first: it may arrive.
        if again:
            raise TryAgain(why, left=[*left, *again], failed=failed)
        return Outcome(failed=failed, why=why, left=tuple(left))

    def _is_to_blame(self, span: StoredSpan, error: Exception) -> bool:
        """Whether it would not arrive however often it was tried."""
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
            raise ConnectionError(_said(error)) from None  # of the place, whatever it is
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
        # So that `osprofiler trace list --error-trace` finds them.
        conf.set_override("filter_error_trace", True, "profiler")
        more = {"transport_url": self._transport_url} if self._transport_url else {}
        with _raised():
            return base.get_driver(self._where, conf=conf, **more)

    def _let_go(self) -> None:
        """Of a driver in the middle of a call, which ends with its connections."""
        pool = getattr(getattr(self._driver, "db", None), "connection_pool", None)  # redis
        self._driver = None
        if pool is not None:
            self._hung = [*self._hung, pool][-MOST_HANGING:]

    def _disconnect(self) -> None:
        """Ends the connections of calls that hang; once more, as redis connects again."""
        for pool in self._hung:
            with suppress(Exception):
                pool.disconnect()

    def close(self) -> None:
        transport = getattr(self._driver, "transport", None)
        self._driver = None
        if transport is not None:
            with suppress(Exception):
                self._calls.call(transport.cleanup)
        self._calls.close()


def _notify(driver: Any, span: StoredSpan) -> None:
    # One driver for all: it looks at these when it has something to say.
    driver.project, driver.service, driver.host = span.project, span.service, span.host
    if hasattr(driver, "client") and hasattr(driver.client, "publisher_id"):
        driver.client.publisher_id = span.host
    with _raised():
        for event in events_of(span):
            driver.notify(event)


def events_of(span: StoredSpan) -> Iterator[dict[str, Any]]:
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
    """Raises what drivers of this thread only say in their logs, which goes no further."""
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


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
