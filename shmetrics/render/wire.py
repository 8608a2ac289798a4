# SPDX-License-Identifier: Apache-2.0
"""The wire format of protocol buffers, as far as it is needed to write messages.

csrc/render/wire.h has the same for numbers.
"""

from __future__ import annotations


def varint(value: int) -> bytes:
    """A number that is not negative, 7 bits a byte."""
    if value < 128:
        return bytes((value,))
    return bytes((value & 127 | 128,)) + varint(value >> 7)


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number."""
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field that holds a string or a message."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def utf8(text: str) -> bytes:
    """Text as a string field has it; half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace")
