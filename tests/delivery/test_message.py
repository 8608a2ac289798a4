# SPDX-License-Identifier: Apache-2.0
"""The one form of all delivered lines: bounded, and one line whatever a unit is named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.delivery.message import compose
from shmetrics.lines.line import Limits, Line, Metric, parse
from shmetrics.lines.owner import Owner
from tests.delivery.conftest import GEAR, TIME_NS, WEB, line


def texts(owner: Owner, found: Line, most: int = 1024) -> list[str]:
    return [message.text for message in compose(owner, found, TIME_NS, most).messages]


def test_polled_and_pushed_lines_have_one_form() -> None:
    assert texts(GEAR, line("quota.blocks.used=920 quota.blocks.limit=1048576")) == [
        "type=metric appName=A gear=5f app=U ns=N quota.blocks.used=920 quota.blocks.limit=1048576"
    ]
    assert texts(WEB, line("b=2.50 type=metric unit=web.service zone=eu a=1")) == [
        "type=metric unit=web.service kind=systemd zone=eu b=2.50 a=1"
    ]


def test_a_long_line_is_split_between_metrics() -> None:
    found = texts(WEB, line("a=1 b=22 c=333 d=4444"), most=60)
    assert found == [
        "type=metric unit=web.service kind=systemd a=1 b=22 c=333",
        "type=metric unit=web.service kind=systemd d=4444",
    ]
    composed = compose(WEB, line(f"{'n' * 30}=1 a=2"), TIME_NS, 60)
    assert [message.text for message in composed.messages] == [
        "type=metric unit=web.service kind=systemd a=2"
    ]
    assert composed.n_too_long == 1
    assert compose(WEB, line("a=1"), TIME_NS, 30) == ((), 1)


def test_a_unit_cannot_write_a_second_line() -> None:
    hostile = Owner("a\n<13>1 - - - - - x b=1\0é\udcff\u2028", "k")
    (text,) = texts(hostile, line("a=1"))
    assert text == (
        r"type=metric unit=a\x0a<13>1\x20-\x20-\x20-\x20-\x20-\x20x\x20b=1\x00é\xff\xe2\x80\xa8"
        " kind=k a=1"
    )


metrics = st.lists(
    st.tuples(st.text("abc.", min_size=1, max_size=9), st.integers(0, 10**9)),
    min_size=1,
    max_size=20,
    unique_by=lambda pair: pair[0],
)


@given(st.text(max_size=20), metrics, st.integers(60, 300))
def test_no_metric_is_lost_or_cut(unit: str, said: list[tuple[str, int]], most: int) -> None:
    found = tuple(Metric(key, key, str(value), value) for key, value in said)
    composed = compose(Owner(unit, "k"), Line(found, {}), TIME_NS, most)
    kept = []
    for message in composed.messages:
        assert len(message.text.encode()) <= most
        assert message.text.isprintable()
        kept += message.text.split(" ")[3:]
    assert len(kept) == len(said) - composed.n_too_long
    assert set(kept) <= {f"{key}={value}" for key, value in said}


@given(st.text(max_size=20).filter(lambda unit: len(unit.encode()) < 50))
def test_what_is_delivered_is_a_metric_line_again(unit: str) -> None:
    (text,) = texts(Owner(unit or "x", "k"), line("a.b=1 c=2"))
    again = parse(text.encode(), Limits(value_characters=1000))
    assert again is not None
    assert [metric.key for metric in again.metrics] == ["a.b", "c"]
