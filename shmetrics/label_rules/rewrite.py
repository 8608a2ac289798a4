# SPDX-License-Identifier: Apache-2.0
"""Rewriting of label values by RE2 patterns, as in Prometheus's relabelling.

The time that RE2 takes is linear in the length of the value, for any pattern and any value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MAX_PATTERN_CHARS = 1000
_MAX_MEMORY_BYTES = 1 << 20  # per pattern
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\}|)")


class Pattern:
    """A pattern for whole values, with the replacement of a value that it matches."""

    def __init__(self, match: str, replace: str) -> None:
        """Compile a pattern.

        Args:
            match: an RE2 pattern, which has to match a whole value.
            replace: the new value; `$1`, `${1}` and `${name}` are groups of the pattern, `$$` is a
                dollar.

        Raises:
            ValueError: one of both is wrong; the message begins with `match:` or `replace:`.
        """
        self._pattern = _compile(match)
        self._parts = list(self._split(replace))

    def _split(self, replace: str) -> Iterable[str | int]:
        """Yield the texts between references, and the numbers of the referenced groups."""
        at = 0
        for found in _REFERENCE.finditer(replace):
            yield replace[at : found.start()]
            at = found.end()
            yield "$" if found["dollar"] else self._group(found["bare"] or found["braced"] or "")
        yield replace[at:]

    def _group(self, name: str) -> int:
        number = self._pattern.groupindex.get(name)
        if number is None and name.isascii() and name.isdecimal() and len(name) <= 3:
            number = int(name)
        if number is None or number > self._pattern.groups:
            hint = f"there is no group {name!r} in `match`" if name else "write $$ for a dollar"
            raise ValueError(f"replace: {hint}; ${{1}} is the first group")
        return int(number)

    def rewritten(self, value: str) -> str | None:
        """Return the new value, or None if the pattern does not match the whole value."""
        found = self._pattern.fullmatch(value.encode("utf-8", "replace"))
        if found is None:
            return None
        parts = [
            part if isinstance(part, str) else (found.group(part) or b"").decode("utf-8", "replace")
            for part in self._parts
        ]
        return "".join(parts)


class Rewrite:
    """A list of patterns. The first one that matches a value rewrites it; others stay unchanged."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = tuple(patterns)

    def __call__(self, value: str) -> str:
        for pattern in self._patterns:
            found = pattern.rewritten(value)
            if found is not None:
                return found
        return value


def _compile(match: str) -> Any:
    import re2  # loaded here: few configurations have patterns, and it takes 2.5 MiB

    if len(match) > MAX_PATTERN_CHARS:
        raise ValueError(f"match: {len(match)} characters are more than {MAX_PATTERN_CHARS}")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    try:
        return re2.compile(match, options)
    except re2.error as error:
        why = error.args[0] if error.args else error
        text = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise ValueError(f"match: {match!r} is not a pattern that RE2 takes: {text}") from None
    except UnicodeEncodeError:
        raise ValueError(f"match: {match!r} is not Unicode") from None
