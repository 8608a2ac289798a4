# SPDX-License-Identifier: Apache-2.0
"""The receiver of datagrams, which adds them to the families of calls. It never raises."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.sources.oslo_metrics.message import CallEvent, Refused, decode
from shmetrics.sources.source import TAKEN, Count

log = logging.getLogger(__name__)

EXCEPTION_LABEL = "exception"


class CallFamily(Protocol):
    """The methods of a family of calls that the receiver needs."""

    def start(self, values: tuple[str, ...], /) -> None: ...
    def end(self, values: tuple[str, ...], /) -> None: ...
    def observe(self, values: tuple[str, ...], seconds: float, /) -> None: ...
    def exception(self, values: tuple[str, ...], exception: str, /) -> None: ...


class Receiver:
    """A receiver of datagrams. It adds them to the families of calls, and counts them by result."""

    def __init__(
        self,
        families: Mapping[str, tuple[CallFamily, tuple[str, ...]]],
        count: Count,
    ) -> None:
        """Set where datagrams go.

        Args:
            families: the families by their prefix, each with the names of its labels.
            count: called for each datagram with its result: "taken", or the reason of a refusal.
        """
        self._families = families
        self._count = count
        self._rate_limited = RateLimitedLog(log)

    def take(self, datagram: bytes, cut_short: bool = False) -> None:
        """Add one datagram. Never raises.

        Args:
            datagram: its bytes.
            cut_short: the socket could not deliver all of it.
        """
        try:
            if cut_short:
                raise Refused("oversized", f"a datagram of more than {len(datagram)} bytes")
            self._fold(decode(datagram))
            self._count(TAKEN)
        except Refused as refused:
            self._refuse(refused.reason, str(refused))
        except Exception as error:  # the store is full, or our code is wrong: the socket stays
            self._refuse("failed", f"{type(error).__name__}: {error}")

    def _fold(self, event: CallEvent) -> None:
        family, names = self._families[event.family]
        given = event.labels
        exception = given.pop(EXCEPTION_LABEL, "") if event.verb == "exception" else ""
        unknown = given.keys() - set(names)
        if unknown:
            raise Refused("bad_labels", f"{event.family} has no label {min(unknown)!r}")
        values = tuple(given.get(name, "") for name in names)
        if event.verb == "start":
            family.start(values)
        elif event.verb == "end":
            family.end(values)
        elif event.verb == "observe":
            family.observe(values, event.seconds)
        else:
            family.exception(values, exception)

    def _refuse(self, reason: str, text: str) -> None:
        self._count(reason)
        self._rate_limited.warning(reason, f"oslo.metrics datagram refused ({reason}): {text}")
