# SPDX-License-Identifier: Apache-2.0
"""The wire format of protocol buffers, as far as it is needed to write messages.

The format: https://protobuf.dev/programming-guides/encoding. csrc/render/wire.h has the same in C,
for the numbers of series.
"""

from __future__ import annotations


def varint(value: int) -> bytes:
    """Encode a non-negative number, 7 bits per byte, the lowest bits first."""
    if value < 128:
        return bytes((value,))
    return bytes((value & 127 | 128,)) + varint(value >> 7)


def number_field(number: int, value: int) -> bytes:
    """Encode a field that holds a number."""
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Encode a field that holds a string or a message."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def utf8(text: str) -> bytes:
    """Encode text for a string field. Half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace")
