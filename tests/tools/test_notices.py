# SPDX-License-Identifier: Apache-2.0
"""Notices: what is written is read, and no bytes of a wild collector harm the reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.notices import Notice, decode_notices, encode_notice, shortened

texts = st.text(st.characters(codec="utf-8"), max_size=400)
notices = st.builds(Notice, texts, texts, texts, texts)


@given(st.lists(notices, max_size=5))
def test_notices_come_back(told: list[Notice]) -> None:
    assert decode_notices(b"".join(map(encode_notice, told))) == told


@given(st.lists(notices, max_size=5), st.binary(max_size=200))
def test_what_follows_nonsense_is_left_out(told: list[Notice], junk: bytes) -> None:
    found = decode_notices(b"".join(map(encode_notice, told)) + junk)
    assert found[: len(told)] == told


@given(st.lists(notices, min_size=1, max_size=3), st.data())
def test_any_changed_byte_is_survived(told: list[Notice], data: st.DataObject) -> None:
    raw = bytearray(b"".join(map(encode_notice, told)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for notice in decode_notices(bytes(raw[: data.draw(st.integers(0, len(raw)))])):
        assert all(isinstance(text, str) for text in notice)


@given(st.binary(max_size=layout.NOTICES_BYTES))
def test_any_bytes_are_survived(raw: bytes) -> None:
    decode_notices(raw)


@given(st.builds(Notice, *[st.text(st.characters(codec="utf-8"), max_size=2000)] * 4))
def test_a_long_notice_is_shortened(notice: Notice) -> None:
    short = shortened(notice._replace(reason="reason"))
    assert len(encode_notice(short)) < layout.NOTICES_BYTES
    assert shortened(short) == short
