# SPDX-License-Identifier: Apache-2.0
"""The payloads of dictionary entries, which give meaning to the ids in a lane.

    family     bounds (one double each), then strings: name, help, unit, mode, label names...
    series     strings: one label value per label name of the family
    exception  one string: the class name

Strings are a uint32 count, then for each string a uint32 length and as many bytes of UTF-8. The
number of bounds is in the entry's header (csrc/lane/layout.h). At most seven zero bytes follow.
"""

from __future__ import annotations

import struct
from array import array
from typing import NamedTuple

_NUMBER = struct.Struct("=I")
_PADDING = 7

# oslo.metrics's bounds in seconds, and six below them for what a local call takes.
DEFAULT_BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 25.0, 50.0, 75.0, 100.0),
)


class Definition(NamedTuple):
    """The definition of a metric family by its emitter.

    Attributes:
        type: one of the TYPE_ constants of the layout.
        name: the name, without `_total`.
        help: the help text.
        unit: the unit, or "".
        mode: the multiprocess_mode of a gauge, or "".
        label_names: the names of the labels.
        bounds: the finite upper bounds of the buckets, ascending.
    """

    type: int
    name: str
    help: str
    unit: str
    mode: str
    label_names: tuple[str, ...]
    bounds: tuple[float, ...]

    def shape(self) -> tuple[object, ...]:
        """Return all but the help, as a hashable tuple: equal shapes are one family.

        The bounds are bytes in it, because a NaN among them would not equal itself.
        """
        bounds = array("d", self.bounds).tobytes()
        return self.type, self.name, self.unit, self.mode, self.label_names, bounds


def encode_strings(strings: tuple[str, ...]) -> bytes:
    """Return the payload of strings. Characters that UTF-8 cannot encode are replaced."""
    parts = [_NUMBER.pack(len(strings))]
    for string in strings:
        raw = string.encode("utf-8", "replace")
        parts.append(_NUMBER.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def decode_strings(payload: bytes) -> tuple[str, ...]:
    """Return the strings of a payload. Raises ValueError if the payload is malformed."""
    strings = []
    unpack, at = _NUMBER.unpack_from, _NUMBER.size
    try:
        (count,) = unpack(payload)
        for _ in range(count):
            (size,) = unpack(payload, at)
            at += _NUMBER.size + size
            strings.append(payload[at - size : at].decode("utf-8") if size else "")
    except struct.error:
        raise ValueError("a number is cut short") from None
    if at > len(payload):
        raise ValueError("a string is longer than its entry")
    if len(payload) - at > _PADDING or any(payload[at:]):
        raise ValueError("something follows the last string")
    return tuple(strings)


def encode_definition(definition: Definition) -> bytes:
    """Return the payload of a family's entry."""
    head = struct.pack(f"={len(definition.bounds)}d", *definition.bounds)
    return head + encode_strings(
        (
            definition.name,
            definition.help,
            definition.unit,
            definition.mode,
            *definition.label_names,
        )
    )


def decode_definition(type: int, n_bounds: int, payload: bytes) -> Definition:
    """Return the definition in the payload of a family's entry.

    Args:
        type: the type, from the header of the entry.
        n_bounds: the number of bounds, likewise.
        payload: the payload.

    Raises:
        ValueError: the payload is malformed.
    """
    bounds = struct.unpack_from(f"={n_bounds}d", payload)
    strings = decode_strings(payload[8 * n_bounds :])
    if len(strings) < 4:
        raise ValueError("a family needs name, help, unit and mode")
    name, help, unit, mode, *label_names = strings
    return Definition(type, name, help, unit, mode, tuple(label_names), bounds)
