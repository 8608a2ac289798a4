# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers: what they say is what Google's runtime says of the same tables."""

from __future__ import annotations

import gc
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.render import _proto, label_pairs, protobuf
from shmetrics.render.wire import varint
from shmetrics.tables.table import Native, Series, Table
from tests.render import client_model
from tests.render.strategies import constant_labels, tables

ONE = Series((), [()])
SINCE = np.array([1700000000.25])


def said(body: bytes) -> list[bytes]:
    """Return the text of each message by the runtime: messages with NaN do not equal themselves."""
    return [message.SerializeToString(deterministic=True) for message in client_model.parse(body)]


@settings(max_examples=300)
@given(st.lists(tables(), max_size=3), constant_labels)
def test_says_what_the_runtime_says(drawn: list[Table], constants: dict[str, str]) -> None:
    assert said(protobuf.render(drawn, constants)) == said(client_model.render(drawn, constants))


def test_every_kind() -> None:
    shown = [
        Table("c", "counter", "h", ONE, values=np.array([2.0]), created=SINCE),
        Table("g_bytes", "gauge", "", ONE, "bytes", np.array([3], np.uint64), created=SINCE),
        Table("h", "histogram", "", ONE, buckets=np.array([[3]], np.uint64), sums=np.array([4.0])),
        Table("i", "info", "", Series(("version",), [("1",)]), values=np.array([1.0])),
        Table("u", "unknown", "", ONE, values=np.array([1.5])),
    ]
    counter, gauge, histogram, info, unknown = client_model.parse(protobuf.render(shown, {}))
    assert (counter.name, counter.help, counter.type) == ("c_total", "h", 0)
    assert counter.metric[0].counter.value == 2.0
    created = counter.metric[0].counter.created_timestamp
    assert (created.seconds, created.nanos) == (1700000000, 250000000)
    assert (gauge.name, gauge.unit, gauge.type) == ("g_bytes", "bytes", 1)
    assert gauge.metric[0].gauge.value == 3.0
    assert histogram.type == 4
    only = histogram.metric[0].histogram
    assert (only.sample_count, only.sample_sum) == (3, 4.0)
    assert [(b.cumulative_count, b.upper_bound) for b in only.bucket] == [(3, float("inf"))]
    assert not only.HasField("schema")
    assert (info.name, info.type) == ("i_info", 1)
    assert [(label.name, label.value) for label in info.metric[0].label] == [("version", "1")]
    assert (unknown.name, unknown.type) == ("u", 3)
    assert unknown.metric[0].untyped.value == 1.5


def native_of(counts: list[int], zero_threshold: float = 0.001) -> Any:
    """Return the Histogram message of one row."""
    table = Table(
        "h",
        "histogram",
        "",
        ONE,
        buckets=np.array([[sum(counts)]], np.uint64),
        sums=np.array([0.0]),
        native=Native(
            3, zero_threshold, -5, np.array([0], np.uint64), np.array([counts], np.uint64)
        ),
    )
    (family,) = client_model.parse(protobuf.render([table], {}))
    return family.metric[0].histogram


@pytest.mark.parametrize(
    ("counts", "spans", "deltas"),
    [
        ([0, 0, 0], [], []),
        ([4], [(-5, 1)], [4]),
        ([0, 0, 0, 4], [(-2, 1)], [4]),
        ([1, 3, 2, 0], [(-5, 3)], [1, 2, -1]),
        ([1, 0, 0, 2], [(-5, 4)], [1, -1, 0, 2]),  # two empty ones are cheaper than a new span
        ([1, 0, 0, 0, 2], [(-5, 1), (3, 1)], [1, 1]),
        ([0, 7, 0, 0, 0, 0, 0, 5, 5, 0, 0], [(-4, 1), (5, 2)], [7, -2, 0]),
    ],
)
def test_spans_and_deltas(
    counts: list[int], spans: list[tuple[int, int]], deltas: list[int]
) -> None:
    histogram = native_of(counts)
    assert [(span.offset, span.length) for span in histogram.positive_span] == spans
    assert list(histogram.positive_delta) == deltas


def test_a_native_histogram_shows_that_it_is_one() -> None:
    """Check one without observations and without a zero bucket: it has a span of no buckets."""
    assert [span.length for span in native_of([0], zero_threshold=0.0).positive_span] == [0]
    assert list(native_of([0], zero_threshold=0.001).positive_span) == []


def test_a_family_without_series_is_left_out() -> None:
    empty = Table("c", "counter", "", Series(("a",)), values=np.empty(0))
    assert protobuf.render([empty], {}) == b""


@pytest.mark.parametrize("time", [-1.0, np.nan, np.inf, 253402300800.0])
def test_a_time_that_none_can_be_is_left_out(time: float) -> None:
    table = Table("c", "counter", "", ONE, values=np.array([1.0]), created=np.array([time]))
    (family,) = client_model.parse(protobuf.render([table], {}))
    assert not family.metric[0].counter.HasField("created_timestamp")


def wide(rows: int) -> Table:
    """Return a table of about 300 bytes a row."""
    series = Series(("a", "b"), [(str(row), "x" * 280) for row in range(rows)])
    return Table("g", "gauge", "", series, values=np.arange(float(rows)))


def test_comes_in_pieces_of_whole_rows() -> None:
    table = wide(5000)
    sizes = [len(piece) for piece in protobuf.pieces([table, table], {}) if piece]
    assert sum(sizes) == len(protobuf.render([table, table], {}))
    assert max(sizes) <= protobuf.PIECE_BYTES + 400
    assert min(sizes[:-1]) > protobuf.PIECE_BYTES - 400


def test_small_families_share_a_piece() -> None:
    many = [Table(f"g{n}", "gauge", "", ONE, values=np.ones(1)) for n in range(100)]
    assert len(list(protobuf.pieces(many, {}))) == 1


def test_a_row_that_is_larger_than_a_piece() -> None:
    series = Series(("a",), [("x" * protobuf.PIECE_BYTES,), ("y",)])
    table = Table("g", "gauge", "", series, values=np.array([1.0, 2.0]))
    (family,) = client_model.parse(protobuf.render([table], {}))
    assert [metric.gauge.value for metric in family.metric] == [1.0, 2.0]


def test_labels_are_made_some_at_a_time() -> None:
    """Check that others have their turn at each piece, at the empty ones too."""
    table = wide(2 * protobuf.MOST_ROWS + 1)
    pieces = protobuf.pieces([table], {})
    assert [next(pieces), next(pieces)] == [b"", b""]
    assert len(label_pairs.label_pairs(table.series, (), 0).ends) - 1 == 2 * protobuf.MOST_ROWS
    assert b"\n\x01g\x12\x00\x18\x01" in next(pieces)


def test_series_that_come_while_it_is_written() -> None:
    """Check that the next scrape shows them; this one goes on with the labels that it has."""
    table = wide(2000)
    whole = protobuf.render([table], {})
    pieces = protobuf.pieces([table], {})
    begun = [next(pieces), next(pieces), next(pieces)]
    for row in range(5000):
        table.series.append((f"new {row}", ""))
    label_pairs.label_pairs(table.series, ())
    assert b"".join([*begun, *pieces]) == whole


def test_labels_go_with_their_series() -> None:
    table = wide(1)
    protobuf.render([table], {})
    gc.collect()
    before = len(label_pairs._cache)
    del table
    gc.collect()
    assert len(label_pairs._cache) == before - 1


def test_half_a_surrogate_pair_does_not_cost_the_scrape() -> None:
    table = Table("g", "gauge", "\ud800", Series(("a",), [("\udfff",)]), values=np.array([1.0]))
    (family,) = client_model.parse(protobuf.render([table], {}))
    assert (family.help, family.metric[0].label[0].value) == ("?", "?")


def test_numbers_that_change_while_they_are_written() -> None:
    """Check that no byte is out of bounds, and that each message has the length that it says."""
    buckets = np.zeros((1, 1), np.uint64)
    rows = _proto.histograms(array("d", [np.inf]), buckets, np.zeros(1))
    ends = array("Q", [0, 0])
    n_bytes = rows.measure(ends)
    assert len(rows.piece(b"", ends, 0, 1)[0]) == n_bytes
    buckets[0, 0] = 2**64 - 1
    with pytest.raises(ValueError, match="changed while"):
        rows.piece(b"", ends, 0, 1)


BUCKETS = np.zeros((2, 3), np.uint64)
TWO = Series(("a",), [("1",), ("2",)])


@pytest.mark.parametrize(
    "table",
    [
        Table("g", "gauge", "", ONE, values=np.zeros(2)),
        Table("c", "counter", "", TWO, values=np.zeros(2), created=np.zeros(1)),
        Table("h", "histogram", "", TWO, bounds=(1.0,), buckets=BUCKETS, sums=np.zeros(2)),
        Table("h", "histogram", "", TWO, bounds=(1.0, 2.0), buckets=BUCKETS, sums=np.zeros(3)),
        Table(
            *("h", "histogram", "", TWO),
            bounds=(1.0, 2.0),
            buckets=BUCKETS,
            sums=np.zeros(2),
            native=Native(3, 0.1, 0, np.zeros(1, np.uint64), BUCKETS),
        ),
        Table(
            *("h", "histogram", "", TWO),
            bounds=(1.0, 2.0),
            buckets=BUCKETS,
            sums=np.zeros(2),
            native=Native(3, 0.1, 0, np.zeros(2, np.uint64), BUCKETS[:1]),
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_the_first_piece(table: Table) -> None:
    with pytest.raises(ValueError, match=r"^[cgh]: "):
        protobuf.pieces([table], {})


@given(st.integers(0, 2**64 - 1))
def test_varints(value: int) -> None:
    encoded = varint(value)
    assert all(byte >= 128 for byte in encoded[:-1])
    assert encoded[-1] < 128
    assert sum((byte & 127) << 7 * place for place, byte in enumerate(encoded)) == value
