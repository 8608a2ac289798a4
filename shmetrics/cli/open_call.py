# SPDX-License-Identifier: Apache-2.0
"""Calls that are open or have failed, as a collector lists them."""

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
        unanswered_by: in words, who does not answer it because it does not run; "".
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
    unanswered_by: str = ""  # an older collector does not say

    @property
    def side(self) -> str:
        """Return the family's name for people."""
        return family_title(self.family)

    @property
    def problem(self) -> str:
        """Return what is wrong with it, in words; "" if nothing is known."""
        return "; ".join(filter(None, (self.lateness, self.unanswered_by)))


class FailedCall(msgspec.Struct):
    """A call that has failed.

    Attributes:
        family: the name of its family.
        server: as of an open call.
        reason: the class of its exception, or in words that its process died.
        end: the Unix time of its end, in seconds.
        seconds: how long it took.
        trace: the id of its trace; None if it belongs to none.
    """

    family: str
    topic: str
    method: str
    server: str
    reason: str
    end: float
    seconds: float
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
