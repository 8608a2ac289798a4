# SPDX-License-Identifier: Apache-2.0
"""The payloads of dictionary entries, which give meaning to the ids in a lane.

    family     bounds (one double each), then strings: name, help, unit, mode, label names...
    series     strings: one label value per label name of the family
    exception  one string: the class name

Strings are a uint16 count, then for each string a uint16 length and as many bytes of UTF-8. The
number of bounds is in the entry's header (csrc/lane/layout.h). At most seven zero bytes follow.
"""

from __future__ import annotations

import struct
from array import array
from typing import NamedTuple

from shmetrics.strings import Strings

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


#: Those of a lane. No entry is so long that its numbers do not fit 16 bits.
_IN_LANE = Strings("H")

encode_strings = _IN_LANE.encode
decode_strings = _IN_LANE.decode


def encode_definition(definition: Definition, strings: Strings = _IN_LANE) -> bytes:
    """Return the payload of a family's entry, with strings as in a lane."""
    head = struct.pack(f"={len(definition.bounds)}d", *definition.bounds)
    return head + strings.encode(
        (
            definition.name,
            definition.help,
            definition.unit,
            definition.mode,
            *definition.label_names,
        )
    )


def decode_definition(
    type: int, n_bounds: int, payload: bytes, strings: Strings = _IN_LANE
) -> Definition:
    """Return the definition in the payload of a family's entry.

    Args:
        type: the type, from the header of the entry.
        n_bounds: the number of bounds, likewise.
        payload: the payload.
        strings: reads the strings in it.

    Raises:
        ValueError: the payload is malformed.
    """
    bounds = struct.unpack_from(f"={n_bounds}d", payload)
    found = strings.decode(payload[8 * n_bounds :])
    if len(found) < 4:
        raise ValueError("a family needs name, help, unit and mode")
    name, help, unit, mode, *label_names = found
    return Definition(type, name, help, unit, mode, tuple(label_names), bounds)
