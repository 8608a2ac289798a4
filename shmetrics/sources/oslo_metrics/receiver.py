# SPDX-License-Identifier: Apache-2.0
"""Folds datagrams into the families of calls. Whatever they hold, nothing is ever raised."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.sources.oslo_metrics.message import Happening, Refused, decode

log = logging.getLogger(__name__)

TAKEN = "taken"
EXCEPTION_LABEL = "exception"


class CallFamily(Protocol):
    """What is needed of a family of calls."""

    def start(self, values: tuple[str, ...], /) -> None: ...
    def end(self, values: tuple[str, ...], /) -> None: ...
    def observe(self, values: tuple[str, ...], seconds: float, /) -> None: ...
    def exception(self, values: tuple[str, ...], exception: str, /) -> None: ...


class Receiver:
    """The families by their prefix, with their label names, and a count of what became of each
    datagram: "taken", or the reason why not."""

    def __init__(
        self,
        families: Mapping[str, tuple[CallFamily, tuple[str, ...]]],
        count: Callable[[str], None],
    ) -> None:
        self._families = families
        self._count = count
        self._rate_limited = RateLimitedLog(log)

    def take(self, datagram: bytes, cut_short: bool = False) -> None:
        """Takes one datagram. cut_short: the socket could not deliver all of it."""
        try:
            if cut_short:
                raise Refused("oversized", f"a datagram of more than {len(datagram)} bytes")
            self._fold(decode(datagram))
            self._count(TAKEN)
        except Refused as refused:
            self._refuse(refused.reason, str(refused))
        except Exception as error:  # the store is full, or we are wrong: the socket lives on
            self._refuse("failed", f"{type(error).__name__}: {error}")

    def _fold(self, happening: Happening) -> None:
        family, names = self._families[happening.family]
        given = happening.labels
        exception = given.pop(EXCEPTION_LABEL, "") if happening.verb == "exception" else ""
        unknown = given.keys() - set(names)
        if unknown:
            raise Refused("bad_labels", f"{happening.family} has no label {min(unknown)!r}")
        values = tuple(given.get(name, "") for name in names)
        if happening.verb == "start":
            family.start(values)
        elif happening.verb == "end":
            family.end(values)
        elif happening.verb == "observe":
            family.observe(values, happening.seconds)
        else:
            family.exception(values, exception)

    def _refuse(self, reason: str, text: str) -> None:
        self._count(reason)
        self._rate_limited.warning(reason, f"oslo.metrics datagram refused ({reason}): {text}")
