# SPDX-License-Identifier: Apache-2.0
"""The payload of a notification of OSProfiler's `messaging://` driver, as a span event.

Any process that may publish on the bus can send anything. So all fields are checked, and bounded,
before they are used.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any, Final

import msgspec

from shmetrics.traces import info
from shmetrics.traces.event import SpanEvent

EVENT_PREFIX: Final = "profiler."  # of the event's type; the name of the service follows
LONGEST_TEXT: Final = 255  # characters of a name, a service, a project or a host
MOST_INFO_BYTES: Final = 64 * 56  # as JSON; as much as a lane can hold
#: The most that the clock of a sender may be ahead of ours.
AHEAD_NS: Final = 24 * 3600 * 10**9
#: The beginning of 2020. If our clock is before that, it has not been set yet, and cannot judge
#: other clocks.
UNSET_NS: Final = 1_577_836_800 * 10**9
_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%f"
_UUID_CHARACTERS: Final = 36


class Refused(Exception):
    """A notification is refused; the text is one word with the reason."""


def event_of(payload: object, publisher: object, now_ns: int) -> SpanEvent:
    """Return the span event of a notification.

    Args:
        payload: the payload of the notification.
        publisher: its publisher, which is the host of the span.
        now_ns: the time of the wall clock, in nanoseconds of Unix time.

    Raises:
        Refused: the payload is not an event of OSProfiler's.
    """
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
    """Return a text, "" for None. Raises Refused with the reason if it is wrong."""
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > LONGEST_TEXT:
        raise Refused(reason)
    try:
        found.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can contain
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
    """Return the nanoseconds of a time stamp. OSProfiler's are UTC, without saying so."""
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
    """Return the info of a span, and the reason if it had to be cut: "size", "depth" or ""."""
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
