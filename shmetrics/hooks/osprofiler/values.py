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
from typing import Any, Final

__all__ = ["WantedValues"]

#: The members of an info that have values, each with those of its own members that do.
_OF_ARGUMENTS: Final = {
    "function": frozenset({"args", "kwargs", "result"}),
    "request": frozenset({"query"}),
    "requests": frozenset({"query"}),
}
_OF_SQL: Final = {"db": frozenset({"params", "result", "original_exception", "chained_exception"})}
_MESSAGE: Final = "message"

#: The names of our own spans of SQL, whose ends do not have the key of OSProfiler's.
_SQL_SPANS: Final = frozenset({"db", "db.transaction"})


class WantedValues:
    """The values that a configuration asks for.

    Attributes:
        arguments: keep values in all spans but those of SQL.
        parameters: keep values in spans of SQL.
    """

    __slots__ = ("_left_out", "arguments", "parameters")

    def __init__(self, arguments: bool = False, parameters: bool = False) -> None:
        self.arguments = arguments
        self.parameters = parameters
        self._left_out: Mapping[str, frozenset[str]] = {
            **({} if arguments else _OF_ARGUMENTS),
            **({} if parameters else _OF_SQL),
        }

    def of(self, name: object, info: dict[str, Any]) -> dict[str, Any]:
        """Return the info of a span with the wanted values only. The given one is not changed.

        Args:
            name: the name of the span.
            info: the info, as a source has made it.
        """
        kept = info
        for key, found in info.items():
            members = self._left_out.get(key)
            if members is not None:
                if isinstance(found, dict) and not members.isdisjoint(found):
                    rest = {each: value for each, value in found.items() if each not in members}
                    kept = {**kept, key: rest}
            elif key == _MESSAGE and not self._keeps_message(name, info):
                kept = {each: value for each, value in kept.items() if each != _MESSAGE}
        return kept

    def _keeps_message(self, name: object, info: dict[str, Any]) -> bool:
        is_sql = name in _SQL_SPANS or not _OF_SQL.keys().isdisjoint(info)
        return self.parameters if is_sql else self.arguments
