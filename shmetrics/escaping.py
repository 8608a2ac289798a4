# SPDX-License-Identifier: Apache-2.0
"""The schemes that write a metric or label name with the characters that every reader knows.

A classic name has letters, digits and underscores, does not begin with a digit, and a metric's may
have colons; it is the same in every scheme. Other names are any UTF-8. A reader that understands
them asks for `escaping=allow-utf-8`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from functools import lru_cache

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_CACHED = 16 * 1024  # names come from emitters, whose families are limited


class Escaping(Enum):
    """A scheme, by its name in the headers Accept and Content-Type."""

    ALLOW_UTF_8 = "allow-utf-8"
    UNDERSCORES = "underscores"
    DOTS = "dots"
    VALUES = "values"


@lru_cache(maxsize=_CACHED)
def is_classic_metric(name: str) -> bool:
    """Return whether every reader knows the characters of a metric's name."""
    return _METRIC.match(name) is not None


def is_classic_label(name: str) -> bool:
    """Return whether every reader knows the characters of a label's name."""
    return _LABEL.match(name) is not None


@lru_cache(maxsize=_CACHED)
def are_classic_labels(names: tuple[str, ...]) -> bool:
    """Return whether every reader knows the characters of these labels' names."""
    return all(map(is_classic_label, names))


@lru_cache(maxsize=_CACHED)
def metric_name(name: str, escaping: Escaping) -> str:
    """Return a metric's name in a scheme."""
    return name if is_classic_metric(name) else _SCHEMES[escaping](name, ":")


@lru_cache(maxsize=_CACHED)
def label_name(name: str, escaping: Escaping) -> str:
    """Return a label's name in a scheme."""
    return name if is_classic_label(name) else _SCHEMES[escaping](name, "")


def _allow_utf_8(name: str, more: str) -> str:
    return name


def _underscores(name: str, more: str) -> str:
    return "".join(c if _is_classic(c, at, more) else "_" for at, c in enumerate(name))


def _dots(name: str, more: str) -> str:
    def written(at: int, c: str) -> str:
        if c == ".":
            return "_dot_"
        return c if _is_classic(c, at, more) and c != "_" else "__"

    return "".join(written(at, c) for at, c in enumerate(name))


def _values(name: str, more: str) -> str:
    def written(at: int, c: str) -> str:
        if c == "_":
            return "__"
        return c if _is_classic(c, at, more) else f"_{ord(c):x}_"

    return "U__" + "".join(written(at, c) for at, c in enumerate(name))


def _is_classic(c: str, at: int, more: str) -> bool:
    """Return whether a character may be at a place of a classic name; *more* are allowed, too."""
    return c.isascii() and (c.isalpha() or c == "_" or (c.isdigit() and at > 0) or c in more)


_SCHEMES: dict[Escaping, Callable[[str, str], str]] = {
    Escaping.ALLOW_UTF_8: _allow_utf_8,
    Escaping.UNDERSCORES: _underscores,
    Escaping.DOTS: _dots,
    Escaping.VALUES: _values,
}
