# SPDX-License-Identifier: Apache-2.0
"""Label values rewritten by patterns: RE2, as in Prometheus's relabelling.

RE2 takes time that is linear in the value, whatever the pattern and whoever has made the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MAX_PATTERN_CHARS = 1000
_MAX_MEMORY_BYTES = 1 << 20  # of one pattern
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\}|)")


class Pattern:
    """A pattern for whole values, and what replaces them: `$1`, `${1}` or `${name}` are its groups,
    `$$` is a dollar. Raises ValueError, `match: ...` or `replace: ...`, if it is none."""

    def __init__(self, match: str, replace: str) -> None:
        self._pattern = _compile(match)
        self._parts = list(self._split(replace))

    def _split(self, replace: str) -> Iterable[str | int]:
        """The text between references, and the numbers of the groups."""
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
        """What becomes of the value; None if it does not match as a whole."""
        found = self._pattern.fullmatch(value.encode("utf-8", "replace"))
        if found is None:
            return None
        parts = (
            part if isinstance(part, str) else (found.group(part) or b"").decode("utf-8", "replace")
            for part in self._parts
        )
        return "".join(parts)


class Rewrite:
    """The first pattern that matches a value decides; a value that none matches is kept."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = tuple(patterns)

    def __call__(self, value: str) -> str:
        for pattern in self._patterns:
            found = pattern.rewritten(value)
            if found is not None:
                return found
        return value


def _compile(match: str) -> Any:
    import re2  # here: few have rules with patterns, and it takes 2.5 MiB

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
