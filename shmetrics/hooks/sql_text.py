# SPDX-License-Identifier: Apache-2.0
"""The text of an SQL statement, without the values that a service has written into it.

Most services send values as parameters. Some write them into the text, and some statements take
none as a parameter, such as those that set a password. Numbers stay: they tell pages and limits.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["without_values"]

_VALUE: Final = "'?'"

#: Systems in which text in double quotes is a value. In others it is a name.
_DOUBLE_QUOTES: Final = frozenset({"mysql", "mariadb"})

# Comments and names are among the parts, because an apostrophe in them begins no value. What is not
# closed goes on to the end, so no part is matched in two ways, and none is searched twice. Each
# part begins with a character of its own, by which `re` finds it fast.
_PARTS: Final = re.compile(
    r"""
    --[^\n]* | /\*.*?(?:\*/|\Z) | `[^`]*(?:`|\Z)
    | "[^"]*(?:"|\Z)(?:"[^"]*(?:"|\Z))*
    | '[^']*(?:'|\Z)(?:'[^']*(?:'|\Z))*
    | \$(\w*)\$.*?(?:\$\1\$|\Z)
    | 0(?<!\w0)[xX][0-9a-fA-F]+
    """,
    re.DOTALL | re.VERBOSE,
)
_MARK: Final = re.compile(r"['\"$]|0[xX]")
_KEPT: Final = frozenset("-/`")  # the first characters of comments and of names


def without_values(statement: str, system: str) -> str:
    """Return a statement with `'?'` in the place of texts and of hexadecimal values.

    Whether a backslash in a text hides the quote behind it depends on the system and its settings.
    So a statement with a backslash is cut at its first value.

    Args:
        statement: the statement.
        system: the database system, as SQLAlchemy's dialects are named.
    """
    if not _has_values(statement):
        return statement
    if "\\" in statement:
        mark = _MARK.search(statement)
        return statement if mark is None else f"{statement[: mark.start()]}{_VALUE}..."
    kept = _KEPT if system in _DOUBLE_QUOTES else _KEPT | {'"'}
    return _PARTS.sub(lambda part: part[0] if part[0][0] in kept else _VALUE, statement)


def _has_values(text: str) -> bool:
    """Return whether a statement may have values in its text. Most have none."""
    return "'" in text or '"' in text or "$" in text or "0x" in text or "0X" in text
