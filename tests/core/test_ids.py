# SPDX-License-Identifier: Apache-2.0
"""New ids: UUIDs of version 4, whatever number comes next."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

BITS_62 = (1 << 62) - 1
NUMBERS = st.integers(0, BITS_62)


def gathered(number: int) -> int:
    """Return the number that is scattered to this one, by Python's own arithmetic."""
    for shift, factor in ((31, 0x81DADEF4BC2DD44D), (29, 0x7FB5D329728EA185), (31, 1)):
        number ^= number >> shift ^ number >> 2 * shift
        number = number * pow(factor, -1, 1 << 62) & BITS_62
    return number


@given(NUMBERS)
def test_no_two_numbers_become_one(core: Any, number: int) -> None:
    scattered = core.lib.shm_scatter_62(number)
    assert scattered <= BITS_62
    assert gathered(scattered) == number


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_an_id_is_a_uuid_and_its_text_is_the_usual_one(core: Any, high: int, low: int) -> None:
    ids = core.ffi.new("struct shm_ids *", {"high": high, "low": low})
    made = core.ffi.new("uint8_t[16]")
    core.lib.shm_id_next(ids, made)
    id = uuid.UUID(bytes=bytes(made))
    assert (id.version, id.variant) == (4, uuid.RFC_4122)
    assert gathered(id.int & BITS_62) == (low + 1) & BITS_62
    text = core.ffi.new("char[36]")
    core.lib.shm_id_text(text, made)
    assert core.ffi.string(text, 36).decode() == str(id)
