# SPDX-License-Identifier: Apache-2.0
"""OpenMetrics, byte for byte what prometheus_client renders for the same samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shmetrics.render import openmetrics, protobuf, text
from shmetrics.tables.table import EXEMPLAR, Series, Table
from tests.render import client_model, reference
from tests.render.store_collector import StoreCollector
from tests.render.strategies import constant_labels, tables, utf8_labels, utf8_names

ONE = Series((), [()])
SINCE = np.array([1700000000.25])


@settings(max_examples=600)
@given(st.lists(tables(), max_size=3), constant_labels, st.booleans())
def test_same_bytes_as_prometheus_client(
    drawn: list[Table], constants: dict[str, str], created: bool
) -> None:
    rendered = openmetrics.render(drawn, constants, created)
    assert rendered == reference.openmetrics(drawn, constants, created)


@settings(max_examples=300)
@given(st.lists(tables(names=utf8_names, label_names=utf8_labels), max_size=3), constant_labels)
def test_the_same_with_utf8_names(drawn: list[Table], constants: dict[str, str]) -> None:
    rendered = openmetrics.render(drawn, constants, created=True)
    assert rendered == reference.openmetrics(drawn, constants, True, "allow-utf-8")


def test_start_times_are_no_samples_unless_they_are_wanted() -> None:
    counter = Table("c", "counter", "", ONE, values=np.array([2.0]), created=SINCE)
    assert b"_created" not in openmetrics.render([counter], {})
    assert b"c_created 1.70000000025e+09\n" in openmetrics.render([counter], {}, created=True)
    (family,) = client_model.parse(protobuf.render([counter], {}))
    assert family.metric[0].counter.created_timestamp.seconds == 1_700_000_000


def test_every_kind() -> None:
    shown = [
        Table("c", "counter", 'a \\ b\n"c"', ONE, values=np.array([2.0]), created=SINCE),
        Table("g_bytes", "gauge", "", ONE, "bytes", np.array([1.0]), created=SINCE),
        Table(
            "h_seconds",
            "histogram",
            "",
            ONE,
            "seconds",
            buckets=np.array([[3]], np.uint64),
            sums=np.array([4.0]),
            created=SINCE,
        ),
        Table("i", "info", "", Series(("version",), [("1",)]), values=np.array([1.0])),
        Table("u", "unknown", "", ONE, values=np.array([1.0])),
    ]
    body = openmetrics.render(shown, {}, created=True)
    assert body == reference.openmetrics(shown, {}, created=True)
    assert body.decode() == (
        '# HELP c a \\\\ b\\n\\"c\\"\n# TYPE c counter\n'
        "c_total 2.0\nc_created 1.70000000025e+09\n"
        "# HELP g_bytes \n# TYPE g_bytes gauge\n# UNIT g_bytes bytes\ng_bytes 1.0\n"
        "# HELP h_seconds \n# TYPE h_seconds histogram\n# UNIT h_seconds seconds\n"
        'h_seconds_bucket{le="+Inf"} 3.0\nh_seconds_count 3.0\nh_seconds_sum 4.0\n'
        "h_seconds_created 1.70000000025e+09\n"
        '# HELP i \n# TYPE i info\ni_info{version="1"} 1.0\n'
        "# HELP u \n# TYPE u unknown\nu 1.0\n"
        "# EOF\n"
    )


TRACE, SPAN = bytes(range(16)), bytes(range(240, 248))


def exemplar(
    bucket: int, value: float, stamp_ns: int = 1_700_000_000_000_000_025, span: bytes = SPAN
) -> tuple[object, ...]:
    return 0, bucket, value, stamp_ns, list(TRACE), list(span)


def test_an_exemplar_follows_the_value_of_its_bucket() -> None:
    none = bytes(8)
    histogram = Table(
        "h",
        "histogram",
        "",
        ONE,
        bounds=(0.5,),
        buckets=np.array([[1, 2]], np.uint64),
        sums=np.array([4.0]),
        created=SINCE,
        exemplars=np.array([exemplar(0, 0.25), exemplar(1, 2e7, 3, none)], EXEMPLAR),
    )
    counter = Table(
        "c",
        "counter",
        "",
        ONE,
        values=np.array([2.0]),
        created=SINCE,
        exemplars=np.array([exemplar(0, 1.0)], EXEMPLAR),
    )
    ids = 'span_id="f0f1f2f3f4f5f6f7",trace_id="000102030405060708090a0b0c0d0e0f"'
    body = openmetrics.render([histogram, counter], {}, created=True)
    assert body == reference.openmetrics([histogram, counter], {}, created=True)
    assert [line for line in body.decode().splitlines() if line[0] != "#"] == [
        'h_bucket{le="0.5"} 1.0 # {' + ids + "} 0.25 1700000000.000000025",
        'h_bucket{le="+Inf"} 3.0 # {' + ids.partition(",")[2] + "} 2e+07 0.000000003",
        "h_count 3.0",
        "h_sum 4.0",
        "h_created 1.70000000025e+09",
        "c_total 2.0 # {" + ids + "} 1.0 1700000000.000000025",
        "c_created 1.70000000025e+09",
    ]
    families = text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
    assert [s.exemplar.value for f in families for s in f.samples if s.exemplar] == [0.25, 2e7, 1.0]
    assert b" # " not in text.render([histogram, counter], {})


def test_an_exemplar_of_no_row_is_left_out() -> None:
    wrong = np.array([(1, 0, 1.0, 1, list(TRACE), list(SPAN))], EXEMPLAR)
    counter = Table("c", "counter", "", ONE, values=np.array([2.0]), exemplars=wrong)
    assert b"c_total 2.0\n" in openmetrics.render([counter], {})


def test_no_tables_still_end() -> None:
    assert openmetrics.render([], {}) == b"# EOF\n"


def test_colon_in_a_name_stays() -> None:
    """prometheus_client puts an underscore in samples, and the colon in their TYPE line."""
    table = Table("job:rate", "gauge", "", ONE, values=np.array([1.0]))
    assert openmetrics.render([table], {}).endswith(b"# TYPE job:rate gauge\njob:rate 1.0\n# EOF\n")
    assert b"\njob_rate 1.0\n" in reference.openmetrics([table], {})


# The parser is a strict one: no negative counts, no NaN among them, no line ends but "\n".
printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)
counts = st.integers(0, 2**64 - 1)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(printable, printable), min_size=2, max_size=2, unique=True),
    st.lists(counts, min_size=2, max_size=2),
    st.lists(st.floats(), min_size=2, max_size=2),
    st.lists(st.integers(0, 2**60), min_size=6, max_size=6),
    st.lists(st.floats(0, 1e300), min_size=2, max_size=2),
)
def test_parses_to_the_same_samples(
    rows: list[tuple[str, str]],
    totals: list[int],
    levels: list[float],
    buckets: list[int],
    sums: list[float],
) -> None:
    series = Series(("a", "z"), rows)
    since = np.array([1700000000.25, 1.0])
    shown = [
        Table("c", "counter", "h", series, values=np.array(totals, np.uint64), created=since),
        Table("g_bytes", "gauge", 'h "\\\n', series, "bytes", np.array(levels)),
        Table(
            "h",
            "histogram",
            "h",
            series,
            bounds=(0.5, 1e6),
            buckets=np.array(buckets, np.uint64).reshape(2, 3),
            sums=np.array(sums),
            created=since,
        ),
    ]
    constants = {"hostname": 'a"b\\c\n'}
    body = openmetrics.render(shown, constants, created=True).decode()
    parsed = text_string_to_metric_families(body)  # type: ignore[no-untyped-call]
    expected = StoreCollector(lambda: shown, constants).collect()
    assert reference.samples(parsed) == reference.samples(expected)
