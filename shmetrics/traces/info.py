# SPDX-License-Identifier: Apache-2.0
"""What is known about a span: how much of it there may be, wherever it comes from.

All that comes after relies on it: trees, pages, JSON, other engines' messages. So it is bounded
before it is written, and once more where it is read, because an earlier version may have written
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

#: Dictionaries and lists in each other, the outermost with them. Our emitter says 9 at most, and
#: Elasticsearch takes 20.
DEEPEST: Final = 16
#: As JSON, which may take more than the 3.5 KB of a lane: `\u0001` is one byte there.
MOST_CHARACTERS: Final = 16 * 1024
LONGEST_TEXT: Final = 255  # characters of each text of what is kept where not all can be

# OSProfiler's reports look for it, and for why a span failed.
_ESSENTIAL: Final = ("host", "etype", "message")

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def encode(info: Mapping[str, Any]) -> tuple[str | None, str]:
    """It as JSON, None if nothing can be said; and why that is not all of it: "depth", "size",
    "no_json" (in MessagePack anything can be a key, and a key too), or "" if it is all."""
    try:
        text = _encode(info).decode()
    except RecursionError:
        why = "depth"
    except (TypeError, ValueError, msgspec.MsgspecError):
        why = "no_json"
    else:
        if len(text) > MOST_CHARACTERS:
            why = "size"
        elif _may_be_deep(text) and is_deep(info):
            why = "depth"
        else:
            return text, ""
    rest = essence(info)
    return _encode(rest).decode() if rest else None, why


def decode(text: str) -> tuple[dict[str, Any], bool]:
    """What this JSON says of a span, as far as it may, and whether that is all."""
    try:
        info = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}, False
    if _may_be_deep(text) and is_deep(info):
        return essence(info), False
    return info, True


def essence(info: Mapping[str, Any]) -> dict[str, str]:
    """What is kept where not all can be: whose it is and why it failed, as far as that is text."""
    return {
        key: value[:LONGEST_TEXT]
        for key in _ESSENTIAL
        if isinstance(value := info.get(key), str) and _is_unicode(value)
    }


def failure(info: Mapping[str, Any]) -> str | None:
    """The class of the exception that ended a span, as OSProfiler says it; of what is no text or
    number, what it is instead."""
    etype = info.get("etype")
    if etype is None:
        return None
    if not isinstance(etype, (str, int, float)):
        return type(etype).__name__
    return str(etype).encode("utf-8", "replace").decode()


def is_deep(info: Mapping[str, Any]) -> bool:
    """Whether there is more in each other than there may be. Goes down level by level, because
    others decide how far that is."""
    level: list[Any] = [info]
    for _ in range(DEEPEST):
        level = [each for outer in level for each in _members(outer) if _has_members(each)]
        if not level:
            return False
    return True


def _members(outer: Any) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _has_members(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple))


def _may_be_deep(text: str) -> bool:
    """False, and in no time, of nearly all."""
    return text.count("{") + text.count("[") > DEEPEST


def _is_unicode(text: str) -> bool:
    """Half of a pair is none, which JSON can have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
