# SPDX-License-Identifier: Apache-2.0
"""How many definitions a process keeps for one family: what bounds an emitter's memory."""

from __future__ import annotations

from shmetrics.binding import ring as _ring
from shmetrics.dictionary import encode_strings

# A lane of the default size has room for some 500 series and the largest for some 50,000; but what
# is kept here is kept in each process, in a few hundred bytes per definition.
MAX_DEFINITIONS = 10_000

# Of their payloads: so many definitions, of the length that label values usually have.
MAX_BYTES = 4 * 1024 * 1024


class DefinitionBudget:
    """Counts what a family's definitions take."""

    __slots__ = ("definitions", "n_bytes")

    def __init__(self) -> None:
        self.definitions = 0
        self.n_bytes = 0

    def payload(self, strings: tuple[str, ...]) -> bytes | None:
        """The payload of one more definition, or None if there is no room for it."""
        if (
            self.definitions >= MAX_DEFINITIONS
            or sum(map(len, strings)) > _ring.ENTRY_MAX_BYTES  # not even worth encoding
        ):
            return None
        payload = encode_strings(strings)
        n_bytes = self.n_bytes + len(payload)
        if len(payload) > _ring.ENTRY_MAX_BYTES or n_bytes > MAX_BYTES:
            return None
        self.definitions += 1
        self.n_bytes = n_bytes
        return payload

    def give_back(self, payload: bytes) -> None:
        """Nothing is defined with this payload after all."""
        self.definitions -= 1
        self.n_bytes -= len(payload)
