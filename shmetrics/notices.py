# SPDX-License-Identifier: Apache-2.0
"""The notices in a lane: what a collector tells an emitter of its definitions.

A notice is a uint32 size, four zero bytes, and strings as in a dictionary entry: metric, reason,
cause, mend. The size is that of all of it, a multiple of 8 (csrc/lane/layout.h).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from shmetrics.dictionary import decode_strings, encode_strings

_HEAD = struct.Struct("=II")
# The longest texts, in characters: one notice must not take the room of all.
_METRIC, _CAUSE, _MEND = 120, 240, 160


class Notice(NamedTuple):
    """A notice.

    Attributes:
        metric: the name of the metric, as its emitter defines it; "" for no metric in particular.
        reason: the reason of a refusal, or the name of a quota: a word.
        cause: what is wrong, in one line; "" says that it is over.
        mend: what to do about it, in one line.
    """

    metric: str
    reason: str
    cause: str = ""
    mend: str = ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def shortened(notice: Notice) -> Notice:
    """Return a notice with texts that are not too long."""
    metric, reason, cause, mend = notice
    return Notice(_cut(metric, _METRIC), reason, _cut(cause, _CAUSE), _cut(mend, _MEND))


def encode_notice(notice: Notice) -> bytes:
    """Return a notice as the bytes of a lane."""
    payload = encode_strings(notice)
    payload += bytes(-len(payload) % 8)
    return _HEAD.pack(_HEAD.size + len(payload), 0) + payload


def decode_notices(raw: bytes) -> list[Notice]:
    """Return the notices in the bytes of a lane, up to the first that makes no sense."""
    notices = []
    at = 0
    while at + _HEAD.size <= len(raw):
        size, _ = _HEAD.unpack_from(raw, at)
        if size <= _HEAD.size or size % 8 or at + size > len(raw):
            break
        try:
            notices.append(Notice(*decode_strings(raw[at + _HEAD.size : at + size])))
        except (ValueError, TypeError):  # no strings, no UTF-8, or another number of strings
            break
        at += size
    return notices
