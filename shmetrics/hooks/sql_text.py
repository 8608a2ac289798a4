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

#: What a statement with a value in it contains.
_MARK: Final = re.compile(r"['\"$]|0[xX]")

# Comments and names come first, because an apostrophe in them begins no value. What is not closed
# goes on to the end, so no part is matched in two ways, and none is searched twice.
_PARTS: Final = re.compile(
    r"""
    (?P<kept> --[^\n]* | /\*.*?(?:\*/|\Z) | `[^`]*(?:`|\Z) )
    | (?P<double> (?:"[^"]*(?:"|\Z))+ )
    | (?:'[^']*(?:'|\Z))+
    | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)
    | \b0[xX][0-9a-fA-F]+
    """,
    re.DOTALL | re.VERBOSE,
)


def without_values(statement: str, system: str) -> str:
    """Return a statement with `'?'` in the place of texts and of hexadecimal values.

    Whether a backslash in a text hides the quote behind it depends on the system and its settings.
    So a statement with a backslash is cut at its first value.

    Args:
        statement: the statement.
        system: the database system, as SQLAlchemy's dialects are named.
    """
    mark = _MARK.search(statement)
    if mark is None:
        return statement
    if "\\" in statement:
        return f"{statement[: mark.start()]}{_VALUE}..."
    keeps_double = system not in _DOUBLE_QUOTES

    def instead(part: re.Match[str]) -> str:
        is_kept = part["kept"] is not None or (keeps_double and part["double"] is not None)
        return part[0] if is_kept else _VALUE

    return _PARTS.sub(instead, statement)
