# SPDX-License-Identifier: Apache-2.0
"""Whatever a lane says about a span: it has its page and its JSON, is forwarded, and harms no other
span."""

from __future__ import annotations

import json
import struct
import tempfile
import uuid
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.destinations.traces import otlp
from shmetrics.destinations.traces.backend import events_of
from shmetrics.lanes import _drain
from shmetrics.lanes.spans import SpanRecords, Spans
from shmetrics.traces.event import SpanLabels
from shmetrics.traces.info import DEEPEST
from shmetrics.traces.reader import Reader, StoredSpan
from shmetrics.traces.store import TraceStore
from shmetrics.web import trace_json, trace_pages

MOST_BYTES = 64 * 56
STOP = 6  # SHM_KIND_SPAN_STOP, which nothing else in Python asks for
TRACE = uuid.UUID(int=1000).bytes
_RECORD = struct.Struct(_drain.TAKEN_SPAN_FORMAT)


def record(kind: int, id: int, info: bytes) -> bytes:
    of = 1, 1_000, uuid.UUID(int=id).bytes, TRACE, TRACE
    return _RECORD.pack(kind, 0, len(info), *of) + info


def known(*infos: bytes) -> tuple[list[StoredSpan], dict[str, int]]:
    """The spans that say this, each between two that are sound; and what was cut of them."""
    said = [b"", *(each for info in infos for each in (info, b"\x81\xa1a\x01"))]
    start, stop = layout.KIND_SPAN_START, STOP
    records = [record(kind, n, info) for n, info in enumerate(said, 1) for kind in (start, stop)]
    spans = Spans(lambda taken: None, lambda lane: None)
    taken = SpanRecords(
        b"".join(records), len(records), {1: SpanLabels("rpc", "nova", "p", "h")}, 1, 10**9, 10**18
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        store = TraceStore(path)
        store.add(spans.events(taken))
        reader = Reader(path)
        found = sorted(reader.spans(TRACE), key=lambda span: span.id)
        reader.close()
        store.close()
    assert len(found) == len(said)
    for n, span in enumerate(found):
        if n % 2 == 0:
            assert (span.start_info, span.is_cut) == ({"a": 1} if n else {}, False)
    return found, dict(store.counts.cut)


class Strict(HTMLParser):
    """A page, whose elements end in their order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def shows(spans: list[StoredSpan]) -> None:
    """All that is made of them."""
    page = trace_pages.waterfall("node", str(uuid.UUID(bytes=TRACE)), spans)
    assert page.count(b"<details>") == len(spans)
    assert Strict(page).open == []
    text = msgspec.json.encode(trace_json.of_spans(spans)).decode()
    assert len(json.loads(text, parse_constant=pytest.fail)) == len(spans)
    message, outcome = otlp.request(spans)
    assert outcome == (0, 0, "", ())
    assert len(message.resource_spans[0].scope_spans[0].spans) == len(spans)
    assert len(message.SerializeToString()) < 100 * MOST_BYTES * len(spans)
    for span in spans:
        json.dumps(list(events_of(span)), allow_nan=False).encode()


def text(said: bytes) -> bytes:
    return b"\x81\xa1x" + said


ODD = {
    "NUL": text(b"\xa3a\0b"),
    "half a pair": text(b"\xa3\xed\xa0\x80"),
    "no UTF-8": text(b"\xa2\xff\xfe"),
    "u64": text(b"\xcf" + b"\xff" * 8),
    "i64": text(b"\xd3\x80" + bytes(7)),
    "NaN": text(b"\xcb\x7f\xf8" + bytes(6)),
    "Inf": text(b"\xcb\x7f\xf0" + bytes(6)),
    "f32 NaN": text(b"\xca\x7f\xc0\0\0"),
    "bytes": text(b"\xc4\x03abc"),
    "ext": text(b"\xd4\x05a"),
    "no timestamp": text(b"\xd7\xff" + b"\xff" * 8),
    "timestamp": text(b"\xd6\xff" + bytes(4)),
    "timestamp of no year": text(b"\xc7\x0c\xff" + bytes(4) + b"\x7f" + b"\xff" * 7),
    "map without end": b"\xdf\xff\xff\xff\xff",
    "list without end": text(b"\xdd\xff\xff\xff\xff"),
    "text without end": text(b"\xdb\xff\xff\xff\xffa"),
    "number for a key": b"\x81\x01\x02",
    "number for a key within": text(b"\x81\x01\x02"),
    "nil for a key within": text(b"\x81\xc0\x02"),
    "list for a key": b"\x81\x91\x01\x02",
    "map for a key within": text(b"\x81\x80\x02"),
    "nil": b"\xc0",
    "two values": b"\x80\x80",
    "cut": b"\x85\xa1x",
    "key twice": b"\x82\xa1x\x01\xa1x\x02",
    "the same key as number and text": text(b"\x82\x01\xa1a\xa11\xa1b"),
    "etype map": b"\x81\xa5etype\x81\xa1a\x01",
    "etype list": b"\x81\xa5etype\x93\x01\x02\x03",
    "etype deep": b"\x81\xa5etype" + b"\x91" * 900 + b"\xc0",
    "etype bytes": b"\x81\xa5etype\xc4\x01\xff",
    "message map": b"\x82\xa5etype\xa1E\xa7message\x81\xa1a\x01",
    "host number": b"\x81\xa4host\x05",
    "no key": b"\x81\xa0\x01",
    "rpc of no kind": b"\x81\xa3rpc\x05",
    "markup": text(b"\xd9\x20</pre><script>alert(1)</script>"),
    "never used": text(b"\xc1"),
    "many keys": b"\xde\x03\xe8"
    + b"".join(b"\xa2%c%c" % (65 + i % 26, 48 + i // 26) + b"\xc2" for i in range(1000))[:3500],
    "many nils": text(b"\xdc\x0d\xb0" + b"\xc0" * 3504),
    "many escapes": text(b"\xda\x0d\xb0" + b"\1" * 3504),
    "many lists": text(b"\xdc\x0d\xb0" + b"\x90" * 3504),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_odd_harms_nothing(what: str) -> None:
    info = ODD[what]
    assert len(info) <= MOST_BYTES
    spans, _ = known(info)
    shows(spans)


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa1k", b"\xdc\0\1", b"\x92\xc0"])
def test_what_is_too_deep_is_cut_alone_and_counted(head: bytes) -> None:
    for depth in (1, DEEPEST - 1, DEEPEST, 100, 480, 900, *range(970, 1100, 7)):
        info = text(head * depth + b"\xc0")
        if len(info) > MOST_BYTES:
            continue
        spans, cut = known(info)
        _, found, _ = spans
        is_deep = depth >= DEEPEST
        assert found.is_cut == is_deep
        assert cut == ({"depth": 2} if is_deep else {})
        shows(spans)


def test_what_is_no_map_is_cut_and_counted() -> None:
    _, cut = known(b"\xc0", b"\x80\x80", b"\x85\xa1x", ODD["no UTF-8"])
    assert cut == {"malformed": 8}
    _, cut = known(ODD["ext"])
    assert cut == {"no_json": 2}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.builds(msgspec.msgpack.Ext, st.integers(0, 127), st.binary(max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9) | st.none(), inner, max_size=4)
    ),
    max_leaves=40,
)
names = st.text(max_size=8) | st.sampled_from(["etype", "message", "host", "rpc", "db"])
packed = st.dictionaries(names, values, max_size=5).map(msgspec.msgpack.encode)
broken = st.builds(
    lambda info, at, byte: info[: at % (len(info) + 1)] + byte + info[at % (len(info) + 1) :],
    packed,
    st.integers(0, 1000),
    st.binary(max_size=3),
)
infos = (packed | broken | st.binary(max_size=200)).map(lambda info: info[:MOST_BYTES])


@settings(max_examples=60, deadline=None)
@example([b"\x81\xa5etype" + b"\x91" * 989 + b"\xc0"])
@given(st.lists(infos, min_size=1, max_size=4))
def test_whatever_is_said_is_shown_and_passed_on(infos: list[bytes]) -> None:
    spans, _ = known(*infos)
    shows(spans)
