# SPDX-License-Identifier: Apache-2.0
"""The values that OSProfiler's own sources put into spans, left out unless somebody asks for them.

OSProfiler's decorators keep the arguments of a function, and with Zaqar's controllers these are
messages. Its listeners keep the parameters of statements, its middleware query strings, and all of
them the messages of errors, which quote values. Our own sources keep none of these unless the
configuration asks for them, by `trace_arguments` and `trace_sql_parameters`. With the driver
`shm://`, the same holds for OSProfiler's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

__all__ = ["WantedValues"]

#: The members that are left out, by the keys of an info that have them.
_MEMBERS: Final = {
    "function": frozenset({"args", "kwargs", "result"}),
    "request": frozenset({"query"}),
    "requests": frozenset({"query"}),
}
_SQL_MEMBERS: Final = {
    "db": frozenset({"params", "result", "original_exception", "chained_exception"})
}
_MESSAGE: Final = "message"

#: The names of our own spans of SQL, whose ends do not have the key of OSProfiler's.
_SQL_SPANS: Final = frozenset({"db", "db.transaction"})


class WantedValues(NamedTuple):
    """What a configuration asks for.

    Attributes:
        arguments: values in all spans but those of SQL.
        parameters: values in spans of SQL.
    """

    arguments: bool = False
    parameters: bool = False

    def of(self, name: object, info: dict[str, Any]) -> dict[str, Any]:
        """Return the info of a span with the wanted values only. The given one is not changed.

        Args:
            name: the name of the span.
            info: the info, as a source has made it.
        """
        is_sql = name in _SQL_SPANS or not _SQL_MEMBERS.keys().isdisjoint(info)
        if _MESSAGE in info and not (self.parameters if is_sql else self.arguments):
            info = {key: value for key, value in info.items() if key != _MESSAGE}
        if not self.arguments:
            info = _without(info, _MEMBERS)
        return info if self.parameters else _without(info, _SQL_MEMBERS)


def _without(info: dict[str, Any], left_out: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Return the info without these members of its members, or the same if it has none."""
    for key, members in left_out.items():
        found = info.get(key)
        if isinstance(found, dict) and not members.isdisjoint(found):
            info = {**info, key: {k: value for k, value in found.items() if k not in members}}
    return info
