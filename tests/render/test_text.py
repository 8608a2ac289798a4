# SPDX-License-Identifier: Apache-2.0
"""The text format, byte for byte what prometheus_client renders for the same samples."""

from __future__ import annotations

import math
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from shmetrics.render import openmetrics, text
from shmetrics.tables.table import Series, Table
from tests.render import reference
from tests.render.store_collector import StoreCollector
from tests.render.strategies import constant_labels, tables, utf8_labels, utf8_names

ONE = Series((), [()])
PROMTOOL = shutil.which("promtool")


def lines(*rendered: Table, **constants: str) -> list[str]:
    """Return the lines of samples; the rest of the text is checked against prometheus_client."""
    body = text.render(rendered, constants)
    assert body == reference.text(rendered, constants)
    return [line for line in body.decode().splitlines() if not line.startswith("#")]


def gauge(value: float, series: Series = ONE) -> Table:
    return Table("g", "gauge", "", series, values=np.array([value]))


@settings(max_examples=600)
@given(st.lists(tables(), max_size=3), constant_labels)
def test_same_bytes_as_prometheus_client(drawn: list[Table], constants: dict[str, str]) -> None:
    assert text.render(drawn, constants) == reference.text(drawn, constants)


@settings(max_examples=300)
@given(st.lists(tables(names=utf8_names, label_names=utf8_labels), max_size=3), constant_labels)
def test_the_same_with_utf8_names(drawn: list[Table], constants: dict[str, str]) -> None:
    assert text.render(drawn, constants) == reference.text(drawn, constants, "allow-utf-8")


def test_header_of_each_kind() -> None:
    numbers = np.array([1.0])
    shown = [
        Table("c", "counter", 'a \\ b\n"c"', ONE, values=numbers),
        Table("g_bytes", "gauge", "", ONE, unit="bytes", values=numbers),
        Table("i", "info", "é", Series(("version",), [("1",)]), values=numbers),
        Table("u", "unknown", "?", ONE, values=numbers),
    ]
    assert text.render(shown, {}).decode() == (
        '# HELP c_total a \\\\ b\\n"c"\n# TYPE c_total counter\nc_total 1.0\n'
        "# HELP g_bytes \n# TYPE g_bytes gauge\ng_bytes 1.0\n"
        '# HELP i_info é\n# TYPE i_info gauge\ni_info{version="1"} 1.0\n'
        "# HELP u ?\n# TYPE u untyped\nu 1.0\n"
    )


def test_histogram_is_cumulated() -> None:
    table = Table(
        "h",
        "histogram",
        "",
        ONE,
        bounds=(0.5, 1.0),
        buckets=np.array([[1, 0, 2]], np.uint64),
        sums=np.array([3.5]),
    )
    assert lines(table) == [
        'h_bucket{le="0.5"} 1.0',
        'h_bucket{le="1.0"} 1.0',
        'h_bucket{le="+Inf"} 3.0',
        "h_count 3.0",
        "h_sum 3.5",
    ]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ((), 'le="+Inf"'),
        (("a",), 'a="0",le="+Inf"'),
        (("z",), 'le="+Inf",z="0"'),
        (("z", "a"), 'a="1",le="+Inf",z="0"'),
        (("leg", "ld", "l", "le_"), 'l="2",ld="1",le="+Inf",le_="3",leg="0"'),
        (("m", "a", "L"), 'L="2",a="1",le="+Inf",m="0"'),
    ],
)
def test_le_is_where_its_name_sorts(names: tuple[str, ...], labels: str) -> None:
    series = Series(names, [tuple(str(place) for place in range(len(names)))])
    table = Table(
        "h", "histogram", "", series, buckets=np.array([[7]], np.uint64), sums=np.array([1.0])
    )
    assert lines(table)[0] == f"h_bucket{{{labels}}} 7.0"


def test_histogram_of_negative_values_has_no_sum() -> None:
    buckets = np.array([[1, 2]], np.uint64)
    for bound, names in ((-1.0, ["h_count"]), (-0.0, ["h_count", "h_sum"])):
        table = Table(
            "h", "histogram", "", ONE, bounds=(bound,), buckets=buckets, sums=np.array([1.0])
        )
        assert [line.split(" ")[0] for line in lines(table)[2:]] == names


def test_counts_are_added_as_integers() -> None:
    """Check a sum that floats would lose: for them, 2^53 + 1 + 1 is 2^53."""
    buckets = np.array([[2**53, 1, 1]], np.uint64)
    table = Table(
        "h", "histogram", "", ONE, bounds=(1.0, 2.0), buckets=buckets, sums=np.array([0.0])
    )
    assert lines(table)[2] == 'h_bucket{le="+Inf"} 9.007199254740994e+15'


def test_counter_of_the_greatest_count() -> None:
    table = Table("c", "counter", "", ONE, values=np.array([2**64 - 1], np.uint64))
    assert lines(table) == ["c_total 1.8446744073709552e+19"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (-0.0, "-0.0"),
        (-1e6, "-1000000.0"),
    ],
)
def test_gauge_of_any_number(value: float, shown: str) -> None:
    assert lines(gauge(value)) == [f"g {shown}"]


def test_label_values_are_escaped() -> None:
    series = Series(("a",), [('\\ " \n \r \t \x00 \x85 \u2028 \U0001f980',)])
    body = text.render([gauge(1.0, series)], {})
    assert body == reference.text([gauge(1.0, series)], {})
    assert b'g{a="\\\\ \\" \\n \r \t \x00 ' in body


def test_half_a_surrogate_pair_is_replaced() -> None:
    """Check that one bad value does not cost a whole scrape; prometheus_client raises an error."""
    assert b'g{a="?"} 1.0' in text.render([gauge(1.0, Series(("a",), [("\ud800",)]))], {})


def test_constant_labels_are_sorted_in() -> None:
    series = Series(("method", "a"), [("m", "x")])
    assert lines(gauge(1.0, series), hostname="n1", z='"') == [
        'g{a="x",hostname="n1",method="m",z="\\""} 1.0'
    ]


def test_own_label_wins_over_a_constant_one() -> None:
    assert lines(gauge(1.0, Series(("hostname",), [("own",)])), hostname="constant") == [
        'g{hostname="own"} 1.0'
    ]


def test_family_without_series_keeps_its_header() -> None:
    empty = Table("g", "gauge", "nothing yet", Series(("a",)))
    assert text.render([empty], {}) == b"# HELP g nothing yet\n# TYPE g gauge\n"


def test_series_without_a_number_yet_is_not_shown() -> None:
    assert lines(gauge(1.0, Series(("a",), [("x",), ("y",)]))) == ['g{a="x"} 1.0']


def test_no_tables() -> None:
    assert text.render([], {}) == b""


def test_large_family_grows_the_output() -> None:
    series = Series(("n",), [(str(row),) for row in range(5000)])
    table = Table("g", "gauge", "", series, values=np.arange(5000.0))
    assert lines(table)[4999] == 'g{n="4999"} 4999.0'


@pytest.mark.parametrize(
    "table",
    [
        Table("g", "gauge", "", ONE, values=np.zeros(2)),
        Table("c", "counter", "", ONE, values=np.zeros(1), created=np.zeros(0)),
        Table("h", "histogram", "", ONE, buckets=np.zeros((1, 2), np.uint64), sums=np.zeros(1)),
        Table("h", "histogram", "", ONE, buckets=np.zeros((1, 1), np.uint64), sums=np.zeros(2)),
        Table("g", "gauge", "", ONE, values=np.zeros(1, np.int64)),  # type: ignore[arg-type]
        Table("g", "gauge", "", ONE, values=np.zeros(1, ">f8")),
    ],
    ids=["series", "created", "buckets", "sums", "type", "byte order"],
)
def test_arrays_that_do_not_fit_are_refused(table: Table) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - numpy and Cython word theirs as they like
        openmetrics.render([table], {})


# Its parser takes "\r" and its kind for line ends, where the format knows "\n" only.
printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)


@settings(max_examples=300)
@given(st.lists(tables(labels=printable), max_size=3, unique_by=lambda table: table.name))
def test_parses_to_the_same_samples(drawn: list[Table]) -> None:
    constants = {"hostname": 'a"b\\c\n'}
    body = text.render(drawn, constants)
    shown = StoreCollector(lambda: drawn, constants, created=False).collect()
    parsed = text_string_to_metric_families(body.decode())
    assert reference.samples(parsed) == reference.samples(shown)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say() -> None:
    series = Series(("method", "exchange"), [('a"\\\n', "é"), ("", "\U0001f980")])
    shown = [
        Table("jobs", "counter", "Jobs.", series, values=np.array([1, 2**64 - 1], np.uint64)),
        Table("depth_bytes", "gauge", "Depth.", series, values=np.array([-math.inf, math.nan])),
        Table(
            "job_seconds",
            "histogram",
            "Time.\n\\",
            series,
            bounds=(0.0001, 2.0**-5, 1e6),
            buckets=np.array([[1, 2, 3, 4], [0, 0, 0, 0]], np.uint64),
            sums=np.array([1.5, 0.0]),
        ),
    ]
    checked = subprocess.run(
        [str(PROMTOOL), "check", "metrics"],
        input=text.render(shown, {"hostname": "n1"}),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
