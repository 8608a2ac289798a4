# SPDX-License-Identifier: Apache-2.0
"""The parsing of a metric line, within bounds. Examples:

    thread.count=5 thread.active=2
    type=metric appName=A gear=G quota.blocks.used=920 quota.blocks.limit=1048576

A line is words of the form key=value, in any order, between spaces or tabs. A number is the value
of a metric; everything else is metadata, and so are all values of the keys in Limits.metadata. The
word `type=metric` may be left out of a line that has nothing but metrics and these keys: then it
cannot be mistaken for what a program says to people, such as `level=info port=80`. No value is
quoted, and none has a space.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

#: The keys that say whose line it is; a line may name none but its own.
IDENTITY = frozenset({"unit", "kind", "id", "gear", "app", "ns", "cart", "appName"})

#: Beginnings of the names of what is known of a unit without its help, and of the collector's own.
RESERVED = (
    *("container_", "namedprocess_", "script_", "metric_lines"),
    *("shmetrics_", "process_", "python_"),
)

_TYPE = "type=metric"
# Characters of names that dashboards know; all but letters, digits and _ become _ in a series.
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*")
_FOREIGN = re.compile(r"[^A-Za-z0-9_]")
# A decimal number, or what float() knows beside them and no metric may be.
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:nan|inf|infinity))"
)


class Limits(NamedTuple):
    """The bounds of a line.

    Attributes:
        line_bytes: the length of a line; OpenShift's METRICS_MAX_LINE_LENGTH.
        words: words of a line.
        key_characters: the length of a key.
        value_characters: the length of a value of metadata.
        metadata: keys whose values are no metrics, even where they are numbers.
        reserved: beginnings of names, `_` for `.`, that are not for programs to record.
        is_typed: whether only lines with `type=metric` are metric lines.
    """

    line_bytes: int = 2000
    words: int = 100
    key_characters: int = 200
    value_characters: int = 256
    metadata: frozenset[str] = IDENTITY
    reserved: tuple[str, ...] = RESERVED
    is_typed: bool = False


LIMITS = Limits()


class Refused(Exception):
    """A metric line is refused.

    Attributes:
        reason: one word, the value of a label: `too_long`, `too_many`, `bad_text`, `bad_word`,
            `bad_name`, `bad_value`, `no_metric`, `repeated`, `reserved` or `two_names_one`; beside
            this module also `forged`, `two_types`, `unknown_peer` and `too_often`.
    """

    def __init__(self, reason: str, text: str) -> None:
        """Set the reason, and one line for people."""
        super().__init__(text)
        self.reason = reason


class Metric(NamedTuple):
    """One metric of a line.

    Attributes:
        name: the name of its family, as `thread_count`.
        key: the name as the line has it, as `thread.count`.
        text: the value as the line has it.
        value: the value, finite.
    """

    name: str
    key: str
    text: str
    value: float


class Line(NamedTuple):
    """A metric line, with at least one metric.

    Attributes:
        metrics: its metrics, whose names all differ.
        metadata: its other values by key, in the order of the line, without empty ones.
    """

    metrics: tuple[Metric, ...]
    metadata: dict[str, str]


def parse(text: bytes, limits: Limits = LIMITS) -> Line | None:
    """Return the metric line in a line of a program's output; None: it is ordinary output.

    Args:
        text: the line; an end of line may follow it.
        limits: the bounds.

    Raises:
        Refused: this is meant as a metric line, and cannot be taken.
    """
    text = text.rstrip(b"\r\n")
    if b"=" not in text:
        return None
    if len(text) > limits.line_bytes:
        _check_overlong(text[: limits.line_bytes], limits)
        return None
    decoded = text.decode(errors="replace").replace("\t", " ")
    words = [word for word in decoded.split(" ") if word]
    is_typed = _TYPE in words
    if not is_typed and (limits.is_typed or not all(_is_plain(word, limits) for word in words)):
        return None
    if not decoded.isprintable() or "\ufffd" in decoded:
        raise Refused("bad_text", f"{words[0][:60]!r}: a control character, or no UTF-8")
    if len(words) > limits.words:
        raise Refused("too_many", f"{len(words)} words in a line; {limits.words} are taken")
    line = _line([word for word in words if word != _TYPE], limits)
    if not line.metrics:
        if is_typed:
            raise Refused("no_metric", "type=metric, and no value is a number")
        return None
    return line


def _check_overlong(begin: bytes, limits: Limits) -> None:
    """Refuse a line that is too long, if it begins like a metric line."""
    first, space, _ = begin.decode(errors="replace").lstrip(" \t").partition(" ")
    if first == _TYPE or (not limits.is_typed and space and _is_plain(first, limits)):
        raise Refused("too_long", f"a line of more than {limits.line_bytes} bytes: {first[:60]!r}")


def _is_plain(word: str, limits: Limits) -> bool:
    """Return whether a word can be one of a metric line without a type."""
    key, equals, value = word.partition("=")
    if key in limits.metadata:
        return bool(equals)
    return bool(_KEY.fullmatch(key) and _NUMBER.fullmatch(value))


def _line(words: list[str], limits: Limits) -> Line:
    metrics: dict[str, Metric] = {}
    metadata: dict[str, str] = {}
    keys = set()
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise Refused("bad_word", f"{word[:60]!r} is not key=value")
        if len(key) > limits.key_characters or not _KEY.fullmatch(key):
            raise Refused("bad_name", f"{key[:60]!r} is not a name: letters, digits and _ . : / -")
        if key in keys:
            raise Refused("repeated", f"{key} is there twice")
        keys.add(key)
        if key in limits.metadata or (value and not _NUMBER.fullmatch(value)):
            if len(value) > limits.value_characters:
                raise Refused("too_long", f"{key}: a value of more than {limits.value_characters}")
            if value:
                metadata[key] = value
            continue
        metric = _metric(key, value, limits)
        other = metrics.setdefault(metric.name, metric)
        if other is not metric:
            raise Refused("two_names_one", f"{other.key} and {key} are one name; rename one")
    return Line(tuple(metrics.values()), metadata)


def _metric(key: str, text: str, limits: Limits) -> Metric:
    value = float(text or "nan")
    if not math.isfinite(value):
        raise Refused("bad_value", f"{key}: {text[:60]!r} is not a finite number")
    name = name_of(key)
    if name.startswith(limits.reserved):
        raise Refused("reserved", f"{key}: names of this beginning are not for programs; rename it")
    return Metric(name, key, text, value)


def name_of(key: str) -> str:
    """Return the name of a key's family: `thread_count` for `thread.count`."""
    return _FOREIGN.sub("_", key)
