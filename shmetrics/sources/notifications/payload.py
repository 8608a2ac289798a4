# SPDX-License-Identifier: Apache-2.0
"""What OSProfiler's `messaging://` driver says in a notification, as a span event.

Whoever may publish on the bus can say anything: all of it is checked, and bounded, before it is
used.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any, Final

import msgspec

from shmetrics.traces import info
from shmetrics.traces.event import SpanEvent

EVENT_PREFIX: Final = "profiler."  # of the event's type; then comes the service
LONGEST_TEXT: Final = 255  # characters of a name, a service, a project, a host
MOST_INFO_BYTES: Final = 64 * 56  # as JSON; what a lane has room for
#: A clock may be ahead of ours, but not by more.
AHEAD_NS: Final = 24 * 3600 * 10**9
#: The beginning of 2020. A clock of ours that says less has not been set yet, and says nothing of
#: the others.
UNSET_NS: Final = 1_577_836_800 * 10**9
_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%f"
_UUID_CHARACTERS: Final = 36


class Refused(Exception):
    """It says nothing that could be kept; the text is one word that tells why."""


def event_of(payload: object, publisher: object, now_ns: int) -> SpanEvent:
    """What is said. publisher: the notification's, which is the host of the span. now_ns: by the
    wall clock. Raises Refused."""
    if not isinstance(payload, dict):
        raise Refused("no_payload")
    name, _, what = _text(payload.get("name"), "bad_name").rpartition("-")
    if what not in ("start", "stop") or not name:
        raise Refused("bad_name")
    unix_ns = _unix_ns(payload.get("timestamp"))
    if unix_ns > now_ns + AHEAD_NS and now_ns >= UNSET_NS:
        raise Refused("bad_time")
    known, cut = _info(payload.get("info"))
    return SpanEvent(
        what == "start",
        _id(payload.get("trace_id")),
        _id(payload.get("base_id")),
        _id(payload.get("parent_id")),
        name,
        _text(payload.get("service"), "bad_text"),
        _text(payload.get("project"), "bad_text"),
        _text(publisher, "bad_text"),
        unix_ns,
        known,
        cut,
        lane=0,
    )


def _text(found: object, reason: str) -> str:
    """None is nothing."""
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > LONGEST_TEXT:
        raise Refused(reason)
    try:
        found.encode()
    except UnicodeEncodeError:  # half of a pair, which JSON can have
        raise Refused(reason) from None
    return found


def _id(found: object) -> bytes:
    if not isinstance(found, str) or len(found) > _UUID_CHARACTERS:
        raise Refused("bad_id")
    try:
        return uuid.UUID(found).bytes
    except ValueError:
        raise Refused("bad_id") from None


def _unix_ns(found: object) -> int:
    """OSProfiler says UTC, and does not say so."""
    try:
        when = datetime.strptime(found, _FORMAT)  # type: ignore[arg-type]
        since = when.replace(tzinfo=timezone.utc) - datetime.fromtimestamp(0, timezone.utc)
    except (TypeError, ValueError):
        raise Refused("bad_time") from None
    unix_ns = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
    if unix_ns < 0:
        raise Refused("bad_time")
    return unix_ns


def _info(found: object) -> tuple[dict[str, Any], str]:
    """What is known, if it is not too much, and why that is not all."""
    if found is None:
        return {}, ""
    if not isinstance(found, dict):
        raise Refused("bad_info")
    try:
        size_bytes = len(msgspec.json.encode(found))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise Refused("bad_info") from None
    if size_bytes > MOST_INFO_BYTES:
        return dict(info.essence(found)), "size"
    if info.is_deep(found):
        return dict(info.essence(found)), "depth"
    return found, ""
