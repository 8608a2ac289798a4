# SPDX-License-Identifier: Apache-2.0
"""The info of a span, and the limits of it, for all sources.

Everything behind relies on these limits: trees, pages, JSON, the messages of other engines. So info
is limited before it is written, and again where it is read, because an earlier version may have
written it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

#: Dictionaries and lists in each other, counting the outermost. Our emitter makes 9 at most, and
#: Elasticsearch takes 20.
DEEPEST: Final = 16
#: The length as JSON, which may be more than a lane's 3.5 KB: `\u0001` is one byte there.
MOST_CHARACTERS: Final = 16 * 1024
LONGEST_TEXT: Final = 255  # characters of each text in essence()

# OSProfiler's reports look for the host, and for the reason why a span failed.
_ESSENTIAL: Final = ("host", "etype", "message")

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def encode(info: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return a span's info as JSON, as much of it as is allowed.

    Args:
        info: the info.

    Returns:
        The JSON, or None if nothing of the info can be kept; and why it is not complete: "depth",
        "size", "no_json" (MessagePack allows any value as a key, JSON only text), or "" if it is.
    """
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
    """Return the info in this JSON, as far as it is allowed, and whether it is complete."""
    try:
        info = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}, False
    if _may_be_deep(text) and is_deep(info):
        return essence(info), False
    return info, True


def essence(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the part of an info that is kept if not all of it can be: host and failure.

    A value that is not text is left out.
    """
    return {
        key: value[:LONGEST_TEXT]
        for key in _ESSENTIAL
        if isinstance(value := info.get(key), str) and _is_unicode(value)
    }


def failure(info: Mapping[str, Any]) -> str | None:
    """Return the class name of the exception that ended a span, as OSProfiler reports it, or None.

    If the report is neither text nor a number, return the name of its type.
    """
    etype = info.get("etype")
    if etype is None:
        return None
    if not isinstance(etype, (str, int, float)):
        return type(etype).__name__
    return str(etype).encode("utf-8", "replace").decode()


def is_deep(info: Mapping[str, Any]) -> bool:
    """Return whether an info has more dictionaries and lists in each other than `DEEPEST`.

    It goes down level by level, without recursion, because the depth is chosen by other programs.
    """
    level: list[Any] = [info]
    for _ in range(DEEPEST):
        level = [each for outer in level for each in _members(outer) if _has_members(each)]
        if not level:
            return False
    return True


def _members(outer: Any) -> Iterable[Any]:
    """Return the values of a dictionary or a list."""
    return outer.values() if isinstance(outer, dict) else outer


def _has_members(value: Any) -> bool:
    """Return whether a value is a dictionary or a list."""
    return isinstance(value, (dict, list, tuple))


def _may_be_deep(text: str) -> bool:
    """Return False for nearly all JSON texts that are not deep, in no time."""
    return text.count("{") + text.count("[") > DEEPEST


def _is_unicode(text: str) -> bool:
    """Return whether a text can be encoded: half of a surrogate pair in JSON cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
