# SPDX-License-Identifier: Apache-2.0
"""Tables with everything odd that a label, a number or a shape can be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from shmetrics.tables.table import EXEMPLAR, Kind, Native, Series, Table

KINDS: tuple[Kind, ...] = ("counter", "gauge", "histogram", "info", "unknown")

# Before le, right beside it, and after it.
LABEL_NAMES = ("A", "_", "a", "host", "l", "ld", "le0", "leg", "lf", "m", "topic", "z", "Z9")
CONSTANT_NAMES = ("hostname", "region", "zone", "Az")

label_values = st.one_of(
    st.sampled_from(["", "\\", '"', "\n", '\\"\n', "\\n", "a b", "}", 'x"} 1\n', "\U0001f980"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
# Values that break scripts: at the ends of float64's exact integers, of int64 and of uint64.
counts = st.one_of(
    st.sampled_from(
        [0, 1, 999_999, 1_000_000, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
    ),
    st.integers(0, 100),
    st.integers(0, 2**64 - 1),
)
numbers = st.one_of(
    st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e16, 1e22, -1e6, 1e6]),
    st.floats(),
    st.integers(-(2**60), 2**60).map(float),
)
created_stamps = st.floats(0, 4e9)


def strided(array: npt.NDArray[Any], steps: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the same numbers, seen through gaps or backwards."""
    wide = np.zeros([size * abs(step) for size, step in zip(array.shape, steps, strict=True)])
    view = wide.astype(array.dtype)[tuple(slice(None, None, step) for step in steps)]
    view[...] = array
    return view


def column(values: st.SearchStrategy[Any], n: int, dtype: type) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.lists(values, min_size=n, max_size=n), st.sampled_from([1, 2, 5, -1, -3])
    ).map(lambda drawn: strided(np.array(drawn[0], dtype), (drawn[1],)))


def exemplars(n_rows: int, n_buckets: int) -> st.SearchStrategy[npt.NDArray[np.void]]:
    """Return a strategy for exemplars of some rows and buckets, sorted by both."""
    ids = st.one_of(st.just(b""), st.binary(max_size=16))  # numpy fills them up with zeros
    drawn = st.dictionaries(
        st.tuples(st.integers(0, n_rows - 1), st.integers(0, n_buckets - 1)),
        st.tuples(numbers, st.integers(0, 2**64 - 1), ids, ids.map(lambda id: id[:8])),
        max_size=6,
    )
    return (drawn if n_rows else st.just({})).map(
        lambda found: np.array(
            [
                (
                    row,
                    bucket,
                    value,
                    stamp_ns,
                    list(trace.ljust(16, b"\0")),
                    list(span.ljust(8, b"\0")),
                )
                for (row, bucket), (value, stamp_ns, trace, span) in sorted(found.items())
            ],
            EXEMPLAR,
        )
    )


# Names with everything that a quoted name can have. (A newline at the end is left out:
# prometheus_client takes such a name for a classic one.)
_odd_names = st.sampled_from(
    [
        "my.metric",
        "my/metric",
        "1st",
        "\N{SNOWMAN}",
        "a b",
        '"',
        "\\",
        "\n_",
        '{"x",y="z"} 1 # {',
        "a:é",
    ]
)
utf8_names = _odd_names | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1, max_size=8
)
utf8_labels = utf8_names.filter(lambda name: name != "le" and not name.startswith("__"))
classic_labels = st.sampled_from(LABEL_NAMES)
classic_names = st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_]{0,8}\Z")


@st.composite
def natives(draw: st.DrawFn, n: int) -> Native:
    """Draw native buckets of n rows, with gaps of every length."""
    columns = draw(st.integers(0, 12))
    drawn = st.lists(st.just(0) | counts, min_size=columns, max_size=columns)
    rows = draw(st.lists(drawn, min_size=n, max_size=n))
    steps = draw(st.tuples(st.sampled_from([1, 2, -1]), st.sampled_from([1, 3, -2])))
    return Native(
        schema=draw(st.integers(-4, 8)),
        zero_threshold=draw(st.sampled_from([0.0, 2.0**-128, 0.001])),
        first=draw(st.sampled_from([-(2**31), -500, -1, 0, 1, 70, 2**31 - 13])),
        zeros=draw(column(counts, n, np.uint64)),
        counts=strided(np.array(rows, np.uint64).reshape(n, columns), steps),
    )


@st.composite
def tables(
    draw: st.DrawFn,
    kinds: tuple[Kind, ...] = KINDS,
    labels: st.SearchStrategy[str] = label_values,
    names: st.SearchStrategy[str] = classic_names,
    label_names: st.SearchStrategy[str] = classic_labels,
) -> Table:
    """Draw one table. Its series may have rows that it has no numbers for yet."""
    kind = draw(st.sampled_from(kinds))
    unit = draw(st.sampled_from(["", "seconds", "bytes"]))
    name = draw(names) + (f"_{unit}" if unit else "")
    own_labels = draw(st.lists(label_names, max_size=len(LABEL_NAMES), unique=True))
    rows = draw(st.lists(st.tuples(*[labels for _ in own_labels]), max_size=4, unique=True))
    series = Series(own_labels, rows)
    n = draw(st.integers(0, len(rows)))
    help = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
    created = draw(st.none() | column(created_stamps, n, np.float64))
    if kind != "histogram":
        values = column(counts, n, np.uint64) | column(numbers, n, np.float64)
        shown = draw(exemplars(n if kind == "counter" else 0, 1))
        return Table(name, kind, help, series, unit, draw(values), created=created, exemplars=shown)
    bounds = draw(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=6, unique=True)
    )
    width = len(bounds) + 1
    drawn = draw(st.lists(st.lists(counts, min_size=width, max_size=width), min_size=n, max_size=n))
    steps = draw(st.tuples(st.sampled_from([1, 2, -1]), st.sampled_from([1, 3, -2])))
    buckets = strided(np.array(drawn, np.uint64).reshape(n, width), steps)
    return Table(
        name,
        kind,
        help,
        series,
        unit,
        bounds=tuple(sorted(bounds)),
        buckets=buckets,
        sums=draw(column(numbers, n, np.float64)),
        created=created,
        native=draw(st.none() | natives(n)),
        exemplars=draw(exemplars(n, width)),
    )


constant_labels = st.dictionaries(st.sampled_from(CONSTANT_NAMES), label_values, max_size=3)
