# SPDX-License-Identifier: Apache-2.0
"""A slow and obvious parser of metric lines: character by character, without a pattern."""

from __future__ import annotations

import math
import string

from shmetrics.lines.line import Limits

Found = tuple[list[tuple[str, str, float]], dict[str, str]]

LETTERS = set(string.ascii_letters + "_")
DIGITS = set(string.digits)


def is_key(key: str) -> bool:
    return bool(key) and key[0] in LETTERS and all(c in LETTERS | DIGITS | set(".:/-") for c in key)


def number(text: str) -> float | None:
    """Return a value as Python reads it, without what only Python takes for a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    odd = "_" in text or text != text.strip() or not text.isascii()
    return None if odd else value


def parse(text: bytes, limits: Limits) -> Found | str | None:
    """Return metrics and metadata, the reason of a refusal, or None for ordinary output."""
    while text.endswith((b"\r", b"\n")):
        text = text[:-1]
    assert len(text) <= limits.line_bytes, "the twin knows no long lines"
    line = text.decode(errors="replace")
    words = [word for part in line.split("\t") for word in part.split(" ") if word]
    pairs = [word.split("=", 1) for word in words if word != "type=metric"]
    typed = "type=metric" in words
    if not typed and (limits.is_typed or not pairs or not all(plain(p, limits) for p in pairs)):
        return None
    if "\ufffd" in line or not all(c == "\t" or c.isprintable() for c in line):
        return "bad_text"
    if len(words) > limits.words:
        return "too_many"
    found = taken(pairs, limits)
    if isinstance(found, str) or found[0]:
        return found
    return "no_metric" if typed else None


def plain(pair: list[str], limits: Limits) -> bool:
    """Return whether a word can be in a line without a type."""
    if len(pair) != 2:
        return False
    return pair[0] in limits.metadata or (is_key(pair[0]) and number(pair[1]) is not None)


def taken(pairs: list[list[str]], limits: Limits) -> Found | str:
    metrics: list[tuple[str, str, float]] = []
    metadata: dict[str, str] = {}
    keys: list[str] = []
    for pair in pairs:
        if len(pair) != 2:
            return "bad_word"
        key, value = pair
        if not is_key(key) or len(key) > limits.key_characters:
            return "bad_name"
        if key in keys:
            return "repeated"
        keys.append(key)
        if key in limits.metadata or (value != "" and number(value) is None):
            if len(value) > limits.value_characters:
                return "too_long"
            if value:
                metadata[key] = value
            continue
        problem = add(metrics, key, value, limits)
        if problem:
            return problem
    return metrics, metadata


def add(metrics: list[tuple[str, str, float]], key: str, value: str, limits: Limits) -> str:
    """Add a metric, or return what is wrong with it."""
    found = number(value)
    if found is None or not math.isfinite(found):
        return "bad_value"
    name = "".join(c if c in LETTERS | DIGITS else "_" for c in key)
    if any(name.startswith(begin) for begin in limits.reserved):
        return "reserved"
    if name in [other for other, _, _ in metrics]:
        return "two_names_one"
    metrics.append((name, key, found))
    return ""
