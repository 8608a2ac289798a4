# SPDX-License-Identifier: Apache-2.0
"""Names in the schemes of readers, and answers that stay valid whatever the names are."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from prometheus_client.parser import text_string_to_metric_families as parse_text

from shmetrics.escaping import Escaping, label_name, metric_name
from shmetrics.render import naming, openmetrics, protobuf, text
from shmetrics.render.naming import named, select
from shmetrics.tables.table import Kind, Series, Table
from tests.render import client_model, quoted, reference
from tests.render.store_collector import StoreCollector
from tests.render.strategies import classic_names, tables, utf8_labels, utf8_names

ONES = np.array([1.0])
ONE = Series((), [()])
SCHEMES = list(Escaping)


def table(name: str, kind: Kind = "gauge", labels: Iterable[str] = (), unit: str = "") -> Table:
    labels = tuple(labels)
    series = Series(labels, [labels])
    if kind == "histogram":
        return Table(name, kind, "", series, unit, buckets=np.ones((1, 1), np.uint64), sums=ONES)
    return Table(name, kind, "", series, unit, ONES)


def shown(drawn: Iterable[Table], escaping: Escaping) -> list[Table]:
    return named(drawn, escaping).tables


# ---- one name -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "underscores", "dots", "values"),
    [
        ("http_requests", *("http_requests",) * 3),
        ("a:b", *("a:b",) * 3),
        ("my.metric", "my_metric", "my_dot_metric", "U__my_2e_metric"),
        ("my.metric_x", "my_metric_x", "my_dot_metric__x", "U__my_2e_metric__x"),
        ("1st", "_st", "__st", "U___31_st"),
        ("a/:b", "a_:b", "a__:b", "U__a_2f_:b"),
        ("\N{SNOWMAN}", "_", "__", "U___2603_"),
        ("x\N{CRAB}", "x_", "x__", "U__x_1f980_"),
        ("a\n", "a_", "a__", "U__a_a_"),
    ],
)
def test_a_metrics_name(name: str, underscores: str, dots: str, values: str) -> None:
    expected = [name, underscores, dots, values]
    assert [metric_name(name, escaping) for escaping in SCHEMES] == expected


def test_a_labels_name_has_no_colon() -> None:
    assert [label_name("a:b", escaping) for escaping in SCHEMES] == [
        "a:b",
        "a_b",
        "a__b",
        "U__a_3a_b",
    ]


@given(utf8_names, st.sampled_from(SCHEMES))
def test_names_are_those_of_prometheus_client(name: str, escaping: Escaping) -> None:
    """Check all but classic names with underscores, which it changes in the scheme of dots."""
    scheme = escaping.value
    theirs = exposition.escape_metric_name(name, scheme), exposition.escape_label_name(name, scheme)
    ours = metric_name(name, escaping), label_name(name, escaping)
    if escaping is Escaping.ALLOW_UTF_8 or re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name):
        assert ours == (name, name)
    elif ":" not in name:  # theirs is not the same in all schemes
        assert ours == theirs


@given(st.text(min_size=1), st.sampled_from(SCHEMES[1:]))
def test_an_escaped_name_is_classic(name: str, escaping: Escaping) -> None:
    assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric_name(name, escaping))
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label_name(name, escaping))


@given(utf8_names)
def test_no_other_name_becomes_a_label_of_ours(name: str) -> None:
    for escaping in SCHEMES:
        for ours in ("le", "pid", "exception"):
            assert (label_name(name, escaping) == ours) == (name == ours)


# ---- one table ----------------------------------------------------------------------------------


def test_usual_names_are_the_same_table_in_every_scheme() -> None:
    usual = [table("a_b", "counter", ("x_y",)), table("h_seconds", "histogram", (), "seconds")]
    for escaping in SCHEMES:
        names = named(usual, escaping)
        assert names.tables == names.originals == usual
        assert not names.left_out


@pytest.mark.parametrize(
    ("escaping", "sample"),
    [
        (Escaping.ALLOW_UTF_8, b'{"my.jobs_total","q.n"="q.n"} 1.0\n'),
        (Escaping.UNDERSCORES, b'my_jobs_total{q_n="q.n"} 1.0\n'),
        (Escaping.DOTS, b'my_dot_jobs__total{q_dot_n="q.n"} 1.0\n'),
        (Escaping.VALUES, b'U__my_2e_jobs__total{U__q_2e_n="q.n"} 1.0\n'),
    ],
)
def test_a_counter_in_every_scheme_and_format(escaping: Escaping, sample: bytes) -> None:
    tables = shown([table("my.jobs", "counter", ("q.n",))], escaping)
    assert text.render(tables, {}).endswith(sample)
    body = openmetrics.render(tables, {})
    assert body.endswith(sample + b"# EOF\n")
    name = sample.lstrip(b'{"').partition(b"_total")[0]
    quoted = b'"%b"' % name if escaping is Escaping.ALLOW_UTF_8 else name
    assert b"# TYPE %b counter\n" % quoted in body
    (family,) = client_model.parse(protobuf.render(tables, {}))
    assert family.name == f"{name.decode()}_total"
    assert family.metric[0].label[0].name == label_name("q.n", escaping)


def test_a_quoted_histogram() -> None:
    assert text.render([table("my.time", "histogram", ("a.b", "m"))], {"z": "1"}).decode() == (
        '# HELP "my.time" \n# TYPE "my.time" histogram\n'
        '{"my.time_bucket","a.b"="a.b",le="+Inf",m="m",z="1"} 1.0\n'
        '{"my.time_count","a.b"="a.b",m="m",z="1"} 1.0\n'
        '{"my.time_sum","a.b"="a.b",m="m",z="1"} 1.0\n'
    )


@pytest.mark.parametrize("escaping", SCHEMES)
@pytest.mark.parametrize("kind", ["counter", "gauge", "histogram"])
def test_a_unit_is_the_end_of_the_name_or_left_out(kind: Kind, escaping: Escaping) -> None:
    (found,) = shown([table("my.size_bytes", kind, (), "bytes")], escaping)
    assert found.unit in ("bytes", "")
    assert found.name.endswith("_bytes") == (found.unit == "bytes")
    list(parse(openmetrics.render([found], {}).decode()))  # type: ignore[no-untyped-call]


def test_escaped_labels_are_made_once_and_go_with_their_series() -> None:
    one = table("my.metric", "gauge", ("a.b",))
    first, second = (shown([one], Escaping.UNDERSCORES)[0] for _ in range(2))
    assert first.series is second.series
    one.series.append(("new",))
    assert first.series.values[-1] == ("new",)
    gc.collect()
    before = len(naming._renamed)
    del one, first, second
    gc.collect()
    assert len(naming._renamed) == before - 1


# ---- several tables -----------------------------------------------------------------------------


def test_the_family_whose_name_is_its_own_stays() -> None:
    names = named([table("a.b"), table("a/b"), table("a_b")], Escaping.UNDERSCORES)
    assert [one.name for one in names.originals] == ["a_b"]
    reason = "its name is a_b, as one of 'a_b' is"
    assert names.left_out == {"a.b": reason, "a/b": reason}
    for escaping in (Escaping.ALLOW_UTF_8, Escaping.VALUES):
        assert len(named([table("a.b"), table("a/b"), table("a_b")], escaping).tables) == 3


def test_of_two_other_names_the_first_one_stays() -> None:
    names = named([table("a.b"), table("a/b")], Escaping.UNDERSCORES)
    assert [one.name for one in names.originals] == ["a.b"]
    assert names.left_out == {"a/b": "its name is a_b, as one of 'a.b' is"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (table("a_b", "counter"), table("a.b_total")),
        (table("a_b_count"), table("a.b", "histogram")),
        (table("a_b", "histogram"), table("a.b", "counter")),
        (table("a_b_created"), table("a.b", "counter")),
        (table("a_b", "info"), table("a.b_info")),
    ],
)
def test_a_sample_of_two_families_is_of_one(one: Table, other: Table) -> None:
    names = named([other, one], Escaping.UNDERSCORES)
    assert names.originals == [one]
    assert list(names.left_out) == [other.name]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (("a.b", "a_b"), "its labels 'a.b' and 'a_b' are both a_b"),
        (("a_b", "c", "a/b"), "its labels 'a_b' and 'a/b' are both a_b"),
        (("..name..",), "its label '..name..' is __name__, which is Prometheus's"),
        (("_.x",), "its label '_.x' is __x, which is Prometheus's"),
    ],
)
def test_a_family_whose_labels_cannot_be_told_apart(labels: tuple[str, ...], reason: str) -> None:
    names = named([table("jobs", "counter", labels), table("x")], Escaping.UNDERSCORES)
    assert [one.name for one in names.originals] == ["x"]
    assert names.left_out == {"jobs": reason}
    assert len(named([table("jobs", "counter", labels)], Escaping.ALLOW_UTF_8).tables) == 1


def test_a_constant_label_gives_way_to_an_escaped_one() -> None:
    (found,) = shown([table("g", "gauge", ("host.name",))], Escaping.UNDERSCORES)
    assert text.render([found], {"host_name": "n1"}).endswith(b'g{host_name="host.name"} 1.0\n')


drawn_tables = st.lists(
    tables(
        names=classic_names | utf8_names | st.text("ab._/", min_size=1, max_size=4),
        label_names=utf8_labels | st.sampled_from(["a.b", "a_b", "a/b", "_.x"]),
    ),
    max_size=5,
    unique_by=lambda drawn: drawn.name,
)


@settings(max_examples=300)
@given(drawn_tables, st.sampled_from(SCHEMES[1:]))
@example([table("a.b", "counter", ("x.y",)), table("a_b", "counter", ("x.y",))], Escaping.DOTS)
def test_an_answer_is_valid_whatever_the_names_are(drawn: list[Table], escaping: Escaping) -> None:
    """Check that no name has two types, and that no two series are alike."""
    first = [one for one in drawn if not clashes(one, drawn)]
    names = named(first, escaping)
    tables = names.tables
    assert len(tables) + len(names.left_out) == len(first)
    for body in (text.render(tables, {}), openmetrics.render(tables, {}, created=True)):
        lines = body.decode().split("\n")
        types = [line.split(" ")[2] for line in lines if line.startswith("# TYPE ")]
        assert len(set(types)) == len(types)
        heads = re.findall(
            r"^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) \S+(?: # .*)?$", body.decode(), re.MULTILINE
        )
        assert len(set(heads)) == len(heads)
    for original, one in zip(names.originals, tables, strict=True):
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", one.name)
        assert len(set(one.series.names)) == len(original.series.names)


def clashes(one: Table, drawn: list[Table]) -> bool:
    """Return whether the store would refuse a table beside an earlier one."""
    before = drawn[: drawn.index(one)]
    mine = {one.name, *one.sample_names()}
    return any(mine & {other.name, *other.sample_names()} for other in before)


# ---- round trips --------------------------------------------------------------------------------

# prometheus_client's parsers split lines at more than newlines, and take some characters between
# quotes for syntax.
readable = st.text(
    st.characters(categories=["L", "N"], include_characters="._/-: "), min_size=1, max_size=8
).map(lambda name: f"x{name}y")


@settings(max_examples=300)
@given(
    st.lists(
        tables(
            kinds=("counter", "gauge", "histogram"),
            labels=st.text("ab.é", max_size=5),
            names=readable,
            label_names=readable,
        ),
        max_size=3,
        unique_by=lambda drawn: drawn.name,
    )
)
def test_prometheus_client_reads_what_was_meant(drawn: list[Table]) -> None:
    constants = {"hostname": "n1"}
    expected = StoreCollector(lambda: drawn, constants, created=False).collect()
    parsed = parse_text(text.render(drawn, constants).decode())
    assert reference.samples(parsed) == reference.samples(expected)


@settings(max_examples=300)
@given(
    st.lists(
        tables(names=utf8_names, label_names=utf8_labels),
        max_size=3,
        unique_by=lambda drawn: drawn.name,
    )
)
def test_a_slow_reader_reads_what_was_meant(drawn: list[Table]) -> None:
    """Check names of any characters."""
    constants = {"hostname": "n1"}
    for created, body in (
        (False, text.render(drawn, constants)),
        (True, openmetrics.render(drawn, constants, created=True)),
    ):
        expected = reference.samples(
            StoreCollector(lambda: drawn, constants, created=created).collect()
        )
        found = [
            (name, labels, repr(float(n))) for name, labels, n in quoted.samples(body.decode())
        ]
        assert sorted(found) == expected
        names = [one.name if created else one.full_name for one in drawn]
        assert quoted.families(body.decode()) == names


# ---- by name ------------------------------------------------------------------------------------

COUNTER, GAUGE, INFO = table("c", "counter"), table("g"), table("i", "info")
HISTOGRAM, DOTTED = table("h", "histogram"), table("d.t", "counter")
ALL = [COUNTER, GAUGE, HISTOGRAM, INFO, DOTTED]


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
        (["d.t"], [DOTTED]),
        (["d.t_total"], [DOTTED]),
        (["d_t"], [DOTTED]),
        (["d_t_total"], [DOTTED]),
    ],
)
def test_select(names: list[str], selected: list[Table]) -> None:
    shown = named(ALL, Escaping.UNDERSCORES)
    places = [shown.tables.index(found) for found in select(shown, names)]
    assert [shown.originals[place] for place in places] == selected
