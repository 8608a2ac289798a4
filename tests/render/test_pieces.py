# SPDX-License-Identifier: Apache-2.0
"""An exposition in pieces: of about one size, whole lines, and together what it is at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.render import formatter, openmetrics, text
from shmetrics.render.labels import label_text
from shmetrics.render.row_slice import check, numbers_bytes, row_slice
from shmetrics.tables.table import EXEMPLAR, Native, Series, Table
from tests.render import reference
from tests.render.strategies import tables


@settings(max_examples=200)
@given(
    st.lists(tables(), max_size=4, unique_by=lambda table: table.name),
    st.integers(1, 2000),
    st.integers(1, 4),
)
def test_wherever_they_end_they_are_the_reference_together(
    drawn: list[Table], piece_bytes: int, most_rows: int
) -> None:
    constants = {"hostname": "n1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formatter, "PIECE_BYTES", piece_bytes)
        patch.setattr(formatter, "MOST_ROWS", most_rows)
        pieces = list(text.pieces(drawn, constants))
        newer = list(openmetrics.pieces_with_created(drawn, constants))
    assert b"".join(pieces) == reference.text(drawn, constants)
    assert b"".join(newer) == reference.openmetrics(drawn, constants, created=True)
    assert all(piece.endswith(b"\n") for piece in (*pieces, *newer))


def histogram(rows: int) -> Table:
    numbers = np.arange(rows, dtype=np.uint64)
    return Table(
        "h",
        "histogram",
        "",
        Series(("n",), [(f"{number}",) for number in range(rows)]),
        bounds=(1.0, 2.0),
        buckets=np.stack([numbers, numbers, numbers], axis=1),
        sums=numbers / 2,
        created=numbers * np.float64(1e3),
        native=Native(3, 1.0, 1, numbers, np.stack([numbers, numbers], axis=1)),
    )


def test_pieces_are_of_one_size() -> None:
    """Check any number of rows, with labels of any length."""
    counts = Table("c", "counter", "", Series(("n",)), values=np.zeros(40_000))
    for number in range(40_000):
        counts.series.append(("x" * (200 + number % 100),))
    sizes = [len(piece) for piece in text.pieces([counts, histogram(20_000), counts], {})]
    assert len(sizes) > 40
    assert max(sizes) < 1.2 * formatter.PIECE_BYTES
    assert sorted(sizes)[len(sizes) // 4] > 0.5 * formatter.PIECE_BYTES


def test_small_families_share_a_piece() -> None:
    many = [Table(f"g{n}", "gauge", "", Series((), [()]), values=np.ones(1)) for n in range(100)]
    assert len(list(text.pieces(many, {}))) == 1


def test_labels_are_made_as_far_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A series that is shown for the first time costs more than its line does later."""
    table = histogram(10 * formatter.MOST_ROWS)
    made: list[int] = []
    real = label_text

    def watched(series: Series, constants: object, end: int) -> object:
        labels = real(series, (), end)
        made.append((len(labels.parts) - 1) // 2)
        return labels

    monkeypatch.setattr(formatter, "label_text", watched)
    pieces = text.pieces([table], {})
    next(pieces)
    assert made == [formatter.MOST_ROWS]
    for _ in pieces:
        pass
    assert max(np.diff(made)) <= formatter.MOST_ROWS
    assert made[-1] == len(table)


def test_what_does_not_fit_is_refused_before_the_first_piece() -> None:
    good, bad = histogram(3), Table("g", "gauge", "", Series((), [()]), values=np.zeros(2))
    with pytest.raises(ValueError, match="g: 2 rows for 1 series"):
        text.pieces([good, bad], {})


@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.sets(st.tuples(st.integers(0, 11), st.integers(0, 2))),
)
def test_a_part_has_what_its_rows_have(first: int, end: int, places: set[tuple[int, int]]) -> None:
    first, end = sorted((first, end))
    whole = histogram(12)
    kept = np.zeros(len(places), EXEMPLAR)
    for at, (row, bucket) in enumerate(sorted(places)):
        kept[at]["row"], kept[at]["bucket"] = row, bucket
    object.__setattr__(whole, "exemplars", kept)
    found = row_slice(whole, first, end)
    check(found)
    assert len(found) == end - first
    assert whole.native is not None
    assert found.native is not None
    assert found.created is not None
    for row in range(end - first):
        number = first + row
        assert found.buckets[row].tolist() == [number] * 3
        assert found.sums[row] == number / 2
        assert found.created[row] == number * 1e3
        assert found.native.zeros[row] == number
        assert found.native.counts[row].tolist() == [number] * 2
    shown = [(int(one["row"]) + first, int(one["bucket"])) for one in found.exemplars]
    assert shown == [place for place in sorted(places) if first <= place[0] < end]
    assert whole.exemplars["row"].tolist() == [row for row, _ in sorted(places)]


def test_all_numbers_are_weighed() -> None:
    assert numbers_bytes(histogram(10)) == 10 * 8 * (3 + 1 + 1 + 1 + 2)
