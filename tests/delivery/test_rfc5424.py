# SPDX-License-Identifier: Apache-2.0
"""Messages of RFC 5424, read by a pattern that is the grammar of its section 6."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.delivery.rfc5424 import Header, ended_by_newline, octet_counted

GRAMMAR = re.compile(
    rb"<(?P<pri>\d{1,3})>1 "
    rb"(?P<time>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{1,6}Z) "
    rb"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<id>[!-~]{1,32}) - "
    rb"(?P<text>.*)"
)


@given(
    st.integers(0, 23),
    st.text(max_size=300),
    st.integers(0, 4 * 10**18),
    st.text("a=1 é", max_size=9),
)
def test_it_is_what_the_grammar_says(facility: int, hostname: str, time_ns: int, text: str) -> None:
    found = GRAMMAR.fullmatch(Header(facility, hostname).message(time_ns, text))
    assert found is not None
    assert divmod(int(found["pri"]), 8) == (facility, 6)
    at = datetime.fromisoformat(found["time"].decode().replace("Z", "+00:00"))
    since = (at - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    assert since == time_ns // 1000
    assert (found["app"], found["proc"], found["id"]) == (b"shmetrics", b"-", b"metric")
    assert found["text"].decode() == text


def test_frames() -> None:
    assert octet_counted("é=1".encode()) == b"4 \xc3\xa9=1"
    assert ended_by_newline(b"a=1") == b"a=1\n"
