# SPDX-License-Identifier: Apache-2.0
"""The formats that clients ask for, and those that they get."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.render import openmetrics, protobuf, text
from shmetrics.render.negotiation import choose
from shmetrics.tables.table import Series, Table

TEXT = text.CONTENT_TYPE
TEXT_1_0_0 = text.CONTENT_TYPE_1_0_0
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
ONES = np.array([1.0])
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain; version=0.0.4", TEXT),
        ("text/plain;version=1.0.0", TEXT_1_0_0),
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
    assert choose(accept, "").content_type.partition("; escaping=")[0] == content_type


UTF_8, UNDERSCORES = "; escaping=allow-utf-8", "; escaping=underscores"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain;version=0.0.4;escaping=allow-utf-8", TEXT + UTF_8),
        ("text/plain;version=0.0.4;escaping=underscores", TEXT),
        ("text/plain;version=1.0.0", TEXT_1_0_0 + UNDERSCORES),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", TEXT_1_0_0 + UTF_8),
        ('Text/Plain; Version=1.0.0; Escaping="Allow-UTF-8"', TEXT_1_0_0 + UTF_8),
        ("text/plain;version=1.0.0;escaping=dots", TEXT_1_0_0 + "; escaping=dots"),
        ("application/openmetrics-text;escaping=values", OPENMETRICS + "; escaping=values"),
        ("application/openmetrics-text;escaping=allow-utf-8", OPENMETRICS + UTF_8),
        ("application/openmetrics-text;escaping=none", OPENMETRICS + UNDERSCORES),
        ("application/openmetrics-text;escaping=x\r\ny:z", OPENMETRICS + UNDERSCORES),
        (PROMETHEUS_2, OPENMETRICS + UNDERSCORES),
        (PROMETHEUS_3, OPENMETRICS + UTF_8),
        (PROMETHEUS_3.replace("allow-utf-8", "underscores"), OPENMETRICS + UNDERSCORES),
        (PROMETHEUS_PROTOBUF, PROTOBUF + UNDERSCORES),
        # What one element says is not another's, but for protocol buffers, which have no word of
        # their own for it.
        (
            "text/plain;version=0.0.4, application/openmetrics-text;escaping=allow-utf-8;q=0.5",
            TEXT,
        ),
        (PROMETHEUS_3_PROTOBUF, PROTOBUF + UTF_8),
        (PROMETHEUS_3_PROTOBUF.replace("allow-utf-8", "dots"), PROTOBUF + "; escaping=dots"),
        (f"{PROTOBUF};escaping=values, {PROMETHEUS_3};q=0.1", PROTOBUF + "; escaping=values"),
    ],
)
def test_the_scheme_of_names_is_what_the_client_asks_for(accept: str, content_type: str) -> None:
    chosen = choose(accept, "")
    assert chosen.content_type == content_type
    assert chosen.escaping.value == (content_type.partition("; escaping=")[2] or "underscores")


def test_created_samples_are_for_openmetrics() -> None:
    counter = Table("c", "counter", "", Series((), [()]), values=ONES, created=ONES)
    for created in (False, True):
        shown = b"".join(choose("application/openmetrics-text", "", created).pieces([counter], {}))
        assert (b"c_created 1.0\n" in shown) == created
        assert b"_created" not in b"".join(choose("", "", created).pieces([counter], {}))


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
    gauge = Table("g", "gauge", "", Series((), [()]), values=ONES)
    assert list(choose("", "").pieces([], {})) == []
    assert list(choose("application/openmetrics-text", "").pieces([], {})) == [b"# EOF\n"]
    assert b"\x01g" in next(choose(PROTOBUF, "").pieces([gauge], {}))


@given(st.text(), st.text())
def test_any_header_gets_an_answer(accept: str, accept_encoding: str) -> None:
    content_type = choose(accept, accept_encoding).content_type.partition("; escaping=")[0]
    assert content_type in (TEXT, TEXT_1_0_0, OPENMETRICS, PROTOBUF)
