# SPDX-License-Identifier: Apache-2.0
"""Open calls, as a collector lists them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shmetrics.tables.methods import family_title


class OpenCall(msgspec.Struct):
    """A call that has begun and not ended.

    Attributes:
        family: the name of its family, such as `oslo_messaging_rpc_client`.
        server: the peer: the server that a client calls, or the server's own name.
        timeout_seconds: how long its caller waits; None if that is not known.
        lateness: "", or in words that it is overdue.
        trace: the id of its trace; None if it belongs to none.
    """

    family: str
    topic: str
    method: str
    server: str
    age_seconds: float
    timeout_seconds: float | None
    is_overdue: bool
    lateness: str
    process: str
    pid_label: str
    trace: str | None

    @property
    def side(self) -> str:
        """Return the family's name for people."""
        return family_title(self.family)


def hanging(calls: Iterable[OpenCall], seconds: float) -> list[OpenCall]:
    """Return the calls that have been open for so long, the oldest first."""
    found = [call for call in calls if call.age_seconds >= seconds or call.is_overdue]
    return sorted(found, key=lambda call: -call.age_seconds)
