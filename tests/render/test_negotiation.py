# SPDX-License-Identifier: Apache-2.0
"""What a client gets for what it asks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.render import openmetrics, protobuf, text
from shmetrics.render.negotiation import choose, select
from shmetrics.tables.table import Series, Table

TEXT = text.CONTENT_TYPE
OPENMETRICS = openmetrics.CONTENT_TYPE
PROTOBUF = protobuf.CONTENT_TYPE
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain; version=0.0.4", TEXT),
        ("text/plain;version=9", TEXT),
        (BROWSER, TEXT),
        ("image/png", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", TEXT),
        ("Application/OpenMetrics-Text;Version=1.0.0", OPENMETRICS),
        ("application/*", OPENMETRICS),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_PROTOBUF, PROTOBUF),
        (PROMETHEUS_3_PROTOBUF, PROTOBUF),
        (PROTOBUF, PROTOBUF),
        (PROTOBUF.upper(), PROTOBUF),
        (PROTOBUF.replace("delimited", '"delimited"'), PROTOBUF),
        # Of other messages, or in another encoding, is not what we have.
        (PROTOBUF.replace("delimited", "text"), TEXT),
        (PROTOBUF.replace("MetricFamily", "Sample"), TEXT),
        ("application/vnd.google.protobuf", TEXT),
        ("application/vnd.google.protobuf;q=1, text/plain;q=0.1", TEXT),
        (f"{PROTOBUF};q=0.5, application/openmetrics-text;q=0.6", OPENMETRICS),
        (f"{PROTOBUF};q=0, application/*", OPENMETRICS),
        (f"application/openmetrics-text;q=0, {PROTOBUF};q=0.1, application/*", PROTOBUF),
        # The better quality wins; among equals the first one.
        ("text/plain;q=0.5, application/openmetrics-text;q=0.6", OPENMETRICS),
        ("text/plain;q=0.6, application/openmetrics-text;q=0.5", TEXT),
        ("text/plain, application/openmetrics-text", TEXT),
        ("application/openmetrics-text, text/plain", OPENMETRICS),
        # What is named precisely counts, not what also fits.
        ("application/openmetrics-text;q=0, */*", TEXT),
        ("text/plain;q=0, */*;q=0.1", OPENMETRICS),
        ("text/*;q=0.9, text/plain;q=0.1, application/openmetrics-text;q=0.5", OPENMETRICS),
        (
            "application/openmetrics-text;version=0.0.1;q=0, application/openmetrics-text",
            OPENMETRICS,
        ),
        # Nonsense asks for nothing.
        ("application/openmetrics-text;q=much, text/plain", TEXT),
        ("application/openmetrics-text;q=-1, text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=nan, text/plain;q=0.1", TEXT),
        (";;=,,q", TEXT),
    ],
)
def test_format(accept: str, content_type: str) -> None:
    assert choose(accept, "").content_type == content_type


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("", False),
        ("gzip", True),
        ("GZip", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("identity;q=0.5, gzip;q=1", True),
        ("identity, gzip;q=0.5", False),
        ("deflate", False),
        ("gzip;q=no", False),
    ],
)
def test_gzip(accept_encoding: str, compressed: bool) -> None:
    chosen = choose("", accept_encoding)
    assert chosen.gzip == compressed


def test_renders_what_it_says() -> None:
    assert list(choose("", "").pieces([], {})) == []
    assert list(choose("application/openmetrics-text", "").pieces([], {})) == [b"# EOF\n"]
    assert b"\x01g" in next(choose(PROTOBUF, "").pieces([GAUGE], {}))


@given(st.text(), st.text())
def test_any_header_gets_an_answer(accept: str, accept_encoding: str) -> None:
    assert choose(accept, accept_encoding).content_type in (TEXT, OPENMETRICS, PROTOBUF)


NUMBERS = np.array([1.0])
ONE = Series((), [()])
COUNTER = Table("c", "counter", "", ONE, values=NUMBERS)
GAUGE = Table("g", "gauge", "", ONE, values=NUMBERS)
HISTOGRAM = Table("h", "histogram", "", ONE)
INFO = Table("i", "info", "", ONE, values=NUMBERS)
ALL = [COUNTER, GAUGE, HISTOGRAM, INFO]


@pytest.mark.parametrize(
    ("names", "selected"),
    [
        ([], ALL),
        (["c"], [COUNTER]),
        (["c_total"], [COUNTER]),
        (["c_created"], [COUNTER]),
        (["g", "c"], [COUNTER, GAUGE]),
        (["h"], [HISTOGRAM]),
        (["h_bucket"], [HISTOGRAM]),
        (["h_sum", "h_count", "h_created"], [HISTOGRAM]),
        (["i_info"], [INFO]),
        (["g_total"], []),
        (["nothing"], []),
    ],
)
def test_select(names: list[str], selected: list[Table]) -> None:
    assert select(iter(ALL), names) == selected
