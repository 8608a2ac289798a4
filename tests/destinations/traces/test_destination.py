# SPDX-License-Identifier: Apache-2.0
"""Destinations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics.config.trace_destination import Receiver, parse, receiver


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("otlp+http://h:1/x?y=z", Receiver("h", 1, "/x?y=z", False, "")),
        ("otlp://h", Receiver("h", 4318, "/v1/traces", False, "")),
        ("otlp+https://u:p%40@[::1]:443/", Receiver("::1", 443, "/", True, "u:p@")),
        ("otlp+grpc://h", Receiver("h", 4317, "/v1/traces", False, "")),
        ("otlp+grpcs://h:5/", Receiver("h", 5, "/", True, "")),
    ],
)
def test_receivers(text: str, found: Receiver) -> None:
    assert receiver(parse(text)) == found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("h:4318", "no destination"),
        ("://h", "no destination"),
        ("shm://", "where the spans come from"),
        ("otlp+http://:4318", "names no host"),
        ("otlp+http://h:port", "has a wrong port"),
        ("otlp+grpc://h:1/x", "OTLP over gRPC has none"),
    ],
)
def test_what_is_none_is_said(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("redis://:secret@h:6379/0?password=secret", "redis://h:6379/0"),
        ("mongodb://u:secret@a:1,b:2/db", "mongodb://a:1,b:2/db"),
        ("otlp+http://u:secret@h:1/v1/traces", "otlp+http://h:1/v1/traces"),
        ("messaging://", "messaging://"),
    ],
)
def test_a_name_has_no_password(text: str, name: str) -> None:
    assert parse(text).name == name


@given(st.text(), st.text(alphabet="abc:@%/?#", max_size=10))
@example("a://b", "c")
def test_whatever_is_written_is_parsed_or_refused(scheme: str, rest: str) -> None:
    try:
        found = parse(f"{scheme}://u:{rest}secret@{rest}")
    except ValueError:
        return
    assert found.scheme == scheme.partition("://")[0]
