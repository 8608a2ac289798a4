# SPDX-License-Identifier: Apache-2.0
"""Strings as bytes, with both sizes of numbers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.strings import Strings

STRINGS = [Strings("H"), Strings("I")]


@given(st.lists(st.text(max_size=50), max_size=10).map(tuple), st.integers(0, 7))
@pytest.mark.parametrize("strings", STRINGS)
def test_what_is_written_is_read(strings: Strings, texts: tuple[str, ...], n_padding: int) -> None:
    replaced = tuple(text.encode("utf-8", "replace").decode() for text in texts)
    assert strings.decode(strings.encode(texts) + bytes(n_padding)) == replaced


@given(st.binary(max_size=64))
@pytest.mark.parametrize("strings", STRINGS)
def test_what_is_read_would_be_written_like_this(strings: Strings, data: bytes) -> None:
    try:
        texts = strings.decode(data)
    except ValueError:
        return
    written = strings.encode(texts)
    assert data.startswith(written)
    assert not any(data[len(written) :])


def test_the_bytes_are_as_the_layout_has_them() -> None:
    written = struct.pack("=HH", 2, 3) + "a\u00e9".encode() + struct.pack("=H", 0)
    assert Strings("H").encode(("a\u00e9", "")) == written
    written = struct.pack("=II", 2, 3) + "a\u00e9".encode() + struct.pack("=I", 0)
    assert Strings("I").encode(("a\u00e9", "")) == written


@pytest.mark.parametrize("texts", [("x" * 0x10000,), ("",) * 0x10000, ("x" * 0x20000, "y")])
def test_what_a_number_cannot_say_is_too_long_for_an_entry(texts: tuple[str, ...]) -> None:
    assert len(Strings("H").encode(texts)) > 0xFFFF > layout.ENTRY_MAX_BYTES
    assert Strings("I").decode(Strings("I").encode(texts)) == texts
