# SPDX-License-Identifier: Apache-2.0
"""Label text is made once per series, and only then."""

from __future__ import annotations

import gc
import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.render import labels, text
from shmetrics.render._text import text_escape
from shmetrics.render.labels import label_text, le_text
from shmetrics.tables.table import Series, Table


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escape(value: str) -> None:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    assert text_escape(value) == escaped.encode()


def test_each_row_is_escaped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    escaped: list[str] = []

    def escape(value: str) -> bytes:
        escaped.append(value)
        return text_escape(value)

    monkeypatch.setattr(labels, "text_escape", escape)
    series = Series(("a",), [("1",)])
    label_text(series, ())
    label_text(series, ())
    assert escaped == ["1"]
    series.append(("2",))
    label_text(series, ())
    assert escaped == ["1", "2"]


def test_added_rows_leave_the_others_alone() -> None:
    series = Series(("z", "a"), [("1", "2")])
    first = bytes(label_text(series, ()).text)
    series.append(("3", "4"))
    kept = label_text(series, ())
    assert first == b'a="2",z="1"'
    assert bytes(kept.text) == b'a="2",z="1"a="4",z="3"'
    assert list(kept.parts) == [0, 6, 11, 17, 22]


def test_parts_end_where_le_belongs() -> None:
    assert list(label_text(Series(("a",), [("1",)]), ()).parts) == [0, 5, 5]
    assert list(label_text(Series(("m",), [("1",)]), ()).parts) == [0, 0, 5]
    assert list(label_text(Series((), [()]), ()).parts) == [0, 0, 0]


def test_other_constant_labels_are_other_texts() -> None:
    series = Series((), [()])
    one, two = ((("hostname", name),) for name in ("n1", "n2"))
    assert bytes(label_text(series, one).text) == b'hostname="n1"'
    assert bytes(label_text(series, two).text) == b'hostname="n2"'
    assert label_text(series, one) is label_text(series, one)


def test_text_goes_with_its_series() -> None:
    series = Series(("a",), [("1",)])
    label_text(series, ())
    gc.collect()
    before = len(labels._cache)
    del series
    gc.collect()
    assert len(labels._cache) == before - 1


def test_rows_that_are_added_while_others_render() -> None:
    """Check scrapes in threads while series appear: each of them sees whole rows."""
    series = Series(("n",))
    bodies: list[bytes] = []

    def scrape() -> None:
        for _ in range(50):
            n = len(series.values)
            table = Table("g", "gauge", "", series, values=np.arange(float(n)))
            bodies.append(text.render([table], {}))

    threads = [threading.Thread(target=scrape) for _ in range(4)]
    for thread in threads:
        thread.start()
    for row in range(2000):
        series.append((str(row),))
    for thread in threads:
        thread.join()
    assert len(bodies) == 200
    for body in bodies:
        for row, line in enumerate(body.decode().splitlines()[2:]):
            assert line.startswith(f'g{{n="{row}"}} ')


def test_le_labels() -> None:
    les, offsets = le_text((-math.pi, 0.5, 1e6))
    assert les == b'le="-3.141592653589793"le="0.5"le="1e+06"le="+Inf"'
    assert list(offsets) == [0, 23, 31, 41, 50]


def test_le_of_zero_has_a_sign() -> None:
    assert le_text((0.0,))[0] == b'le="0.0"le="+Inf"'
    assert le_text((-0.0,))[0] == b'le="-0.0"le="+Inf"'


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 label values for 1 names"):
        Series(("a",)).append(("1", "2"))
