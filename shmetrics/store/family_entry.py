# SPDX-License-Identifier: Apache-2.0
"""The log entry of a family: its definition, and the exponential bounds that its rows have."""

from __future__ import annotations

import struct

from shmetrics.dictionary import Definition, decode_definition, encode_definition
from shmetrics.store.exponential import ExponentialBounds
from shmetrics.store.family import Family
from shmetrics.store.histograms import HistogramFamily
from shmetrics.store.log_entry import STRINGS, Entry, EntryKind

_EXPONENTIAL = struct.Struct("=iiI")  # before the definition
_NONE = ExponentialBounds(0, 0, 0)  # stands for a family without them


def encode(family: Family) -> Entry:
    """Return the log entry of a family."""
    definition = family.definition
    exponential_bounds = family.exponential if isinstance(family, HistogramFamily) else None
    return Entry(
        EntryKind.FAMILY,
        definition.type,
        family.id,
        len(definition.bounds),
        _EXPONENTIAL.pack(*(exponential_bounds or _NONE)) + encode_definition(definition, STRINGS),
        family.owner,
    )


def decode(entry: Entry) -> tuple[Definition, ExponentialBounds | None]:
    """Return the definition of an entry, and the exponential bounds; None without any.

    Raises:
        ValueError: the payload is damaged.
        struct.error: the payload is too short.
    """
    schema, lowest, n = _EXPONENTIAL.unpack_from(entry.payload)
    payload = entry.payload[_EXPONENTIAL.size :]
    definition = decode_definition(entry.type, entry.of, payload, STRINGS)
    return definition, ExponentialBounds(schema, lowest, n) if n else None
