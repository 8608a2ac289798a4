# SPDX-License-Identifier: Apache-2.0
"""The bound for the definitions of one family, which bounds the memory of an emitter."""

from __future__ import annotations

from functools import lru_cache

from shmetrics.binding import layout
from shmetrics.dictionary import encode_strings

# More than a collector lets the processes of a user have in a family (store.max_series_per_family).
# This memory is used in each process, with a few hundred bytes per definition.
MAX_DEFINITIONS = 50_000

# For the payloads of that many definitions, with label values of usual length.
MAX_BYTES = 16 * 1024 * 1024

# Families whose children have the same labels share the payload, if they are made in a row.
_payload = lru_cache(maxsize=1)(encode_strings)


class DefinitionBudget:
    """The number of a family's definitions, and the bytes of their payloads."""

    __slots__ = ("definitions", "n_bytes")

    def __init__(self) -> None:
        self.definitions = 0
        self.n_bytes = 0

    def payload(self, strings: tuple[str, ...]) -> bytes | None:
        """Return the payload of one more definition, and count it.

        Args:
            strings: the label values, or the name of an exception's class.

        Returns:
            The payload, or None if it does not fit into a lane's entry or into the budget.
        """
        if (
            self.definitions >= MAX_DEFINITIONS
            or sum(map(len, strings)) > layout.ENTRY_MAX_BYTES  # not even worth encoding
        ):
            return None
        payload = _payload(strings)
        n_bytes = self.n_bytes + len(payload)
        if len(payload) > layout.ENTRY_MAX_BYTES or n_bytes > MAX_BYTES:
            return None
        self.definitions += 1
        self.n_bytes = n_bytes
        return payload

    def give_back(self, payload: bytes) -> None:
        """Uncount a payload of payload() with which nothing was defined."""
        self.definitions -= 1
        self.n_bytes -= len(payload)
