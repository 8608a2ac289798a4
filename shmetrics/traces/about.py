# SPDX-License-Identifier: Apache-2.0
"""A few words about a span, made from its info: what it did, and whether it came late.

OSProfiler and our hooks put that into the info of a span, in a dictionary for each kind of span.
Any process may have written it, so types are checked, and the text is bounded. Parameters,
arguments and query strings are never part of it, also if a span has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["MOST_CHARACTERS", "about", "idle_seconds"]

#: The longest text.
MOST_CHARACTERS: Final = 80

#: What is read of a text that is made shorter, because it may have spaces in it.
_MOST_READ: Final = 1000

_QUOTED: Final = re.compile(r"'[^']*'?")

Info: TypeAlias = Mapping[str, Any]


def about(start_info: Info, stop_info: Info) -> str:
    """Return what a span did, in at most `MOST_CHARACTERS` characters; "" if it does not tell.

    Args:
        start_info: the info of its start.
        stop_info: the info of its end.
    """
    for key, describe in _KINDS.items():
        begun, ended = _dictionary(start_info, key), _dictionary(stop_info, key)
        if begun or ended:
            words = " ".join(" ".join(word for word in describe(begun, ended) if word).split())
            status = _text(_dictionary(stop_info, _STATUS.get(key, key)), "status_code")
            if status:
                words = f"{_bounded(words, MOST_CHARACTERS - len(status) - 1)} {status}"
            return _bounded(words, MOST_CHARACTERS)
    return ""


def idle_seconds(start_info: Info) -> float | None:
    """Return for how long the trace was idle in its thread before the span; None if not for long.

    A span that begins after that may be of other work: see `shmetrics/hooks/osprofiler/idle.py`.
    """
    found = start_info.get("idle_seconds")
    return found if isinstance(found, float) and 0.0 < found < 1e9 else None


def _request(begun: Info, ended: Info) -> Iterable[str]:
    return _text(begun, "method"), _text(begun, "hostname") + _text(begun, "path")


def _rpc(begun: Info, ended: Info) -> Iterable[str]:
    topic, server = _text(begun, "topic"), _text(begun, "server")
    where = ".".join(filter(None, (topic, server)))
    return _text(begun, "call_type"), _text(begun, "method"), where and f"to {where}"


def _statement(begun: Info, ended: Info) -> Iterable[str]:
    statement = _QUOTED.sub("'?'", _text(begun, "statement"))
    return statement, _text(begun, "outcome") or _text(ended, "outcome")


def _command(begun: Info, ended: Info) -> Iterable[str]:
    where = ".".join(filter(None, (_text(begun, "database"), _text(begun, "collection"))))
    count = _text(begun, "count")
    return _text(begun, "command"), where, count and f"of {count}"


def _function(begun: Info, ended: Info) -> Iterable[str]:
    return (_text(begun, "name"),)


def _notification(begun: Info, ended: Info) -> Iterable[str]:
    topic = _text(begun, "topic")
    return _text(begun, "event_type"), topic and f"to {topic}"


#: The keys of an info, and the words that are made of what is there.
_KINDS: Final[dict[str, Callable[[Info, Info], Iterable[str]]]] = {
    "request": _request,
    "requests": _request,
    "rpc": _rpc,
    "notification": _notification,
    "db": _statement,
    "redis": _command,
    "mongodb": _command,
    "function": _function,
}

#: The keys at the end of a span with the status of an HTTP response, where they differ.
_STATUS: Final = {"request": "response"}


def _dictionary(info: Info, key: str) -> Info:
    found = info.get(key)
    return found if isinstance(found, dict) else {}


def _text(info: Info, key: str) -> str:
    """Return a text or a whole number as text, and "" for anything else."""
    found = info.get(key)
    if isinstance(found, str):
        return found[:_MOST_READ]
    return str(found) if type(found) is int and 0 <= found < 1 << 32 else ""


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
