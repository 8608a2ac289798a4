# SPDX-License-Identifier: Apache-2.0
"""The table of exemplars against an ordered dictionary, and ids of traces against Python's own."""

from __future__ import annotations

import re
import uuid
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SERIES, BUCKETS = 4, 3

keys = st.tuples(st.integers(0, SERIES - 1), st.integers(0, BUCKETS - 1))
# With a stamp, and what the clock says: it may have been set back since the last.
puts = st.tuples(st.just("put"), keys, st.integers(0, 9), st.integers(0, 9))
forgets = st.tuples(st.just("forget"), keys, st.just(0), st.just(0))


class Twin(OrderedDict[tuple[int, int], tuple[int, int]]):
    """Stamp and number by series and bucket, the newest last."""

    displaced = 0

    def put(self, key: tuple[int, int], kept: tuple[int, int], now_ns: int, most: int) -> None:
        if key in self and kept[0] < self[key][0] <= now_ns:
            return
        if key not in self and len(self) == most:
            self.popitem(last=False)
            self.displaced += 1
        self[key] = kept
        self.move_to_end(key)


@settings(max_examples=300)
@given(st.integers(1, SERIES * BUCKETS + 1), st.lists(st.one_of(puts, puts, forgets), max_size=60))
def test_the_table_keeps_what_an_ordered_dictionary_keeps(
    core: Any, most: int, acts: list[tuple[str, tuple[int, int], int, int]]
) -> None:
    lib, ffi = core.lib, core.ffi
    table, twin = ffi.new("struct shm_exemplars *"), Twin()
    copy = ffi.new("struct shm_exemplar[]", most)
    assert lib.shm_exemplars_open(table, most)
    for number, (act, (series, bucket), stamp_ns, now_ns) in enumerate(acts):
        if act == "put":
            one = {"series": series, "bucket": bucket, "value": number, "stamp_ns": stamp_ns}
            lib.shm_exemplars_put(table, ffi.new("struct shm_exemplar *", one), now_ns)
            twin.put((series, bucket), (stamp_ns, number), now_ns, most)
        else:
            lib.shm_exemplars_forget(table, series, BUCKETS)
            for other in [key for key in twin if key[0] == series]:
                del twin[other]
        n = lib.shm_exemplars_copy(table, copy)
        found = [((e.series, e.bucket), (e.stamp_ns, e.value)) for e in copy[0:n]]
        assert found == list(reversed(twin.items()))
        assert (table.n, table.displaced) == (len(twin), twin.displaced)
    lib.shm_exemplars_close(table)


def test_a_table_can_be_closed_twice(core: Any) -> None:
    table = core.ffi.new("struct shm_exemplars *")
    assert core.lib.shm_exemplars_open(table, 1)
    core.lib.shm_exemplars_close(table)
    core.lib.shm_exemplars_close(table)


HEX = "0123456789abcdefABCDEF"
texts = st.one_of(
    st.text(HEX, min_size=30, max_size=34),
    st.text(HEX, min_size=14, max_size=18),
    st.uuids().map(str),
    st.uuids().map(lambda id: str(id).replace("-", "_", 1)),
    st.tuples(st.uuids(), st.integers(0, 35), st.characters(codec="ascii")).map(
        lambda drawn: str(drawn[0])[: drawn[1]] + drawn[2] + str(drawn[0])[drawn[1] + 1 :]
    ),
    st.text(st.characters(codec="latin-1"), max_size=40),
    st.sampled_from(
        ["0" * 32, "0" * 16, str(uuid.UUID(int=0)), "g" * 32, "`" * 32, "1" * 15 + "@"]
    ),
)


@settings(max_examples=1000)
@given(texts)
def test_an_id_is_what_python_takes_for_one(core: Any, text: str) -> None:
    trace = core.ffi.new("struct shm_trace *")
    raw = text.encode("latin-1")
    digits = "[0-9a-fA-F]"
    dashed = "-".join(f"{digits}{{{n}}}" for n in (8, 4, 4, 4, 12))
    id = text.replace("-", "") if re.fullmatch(f"{digits}{{32}}|{dashed}", text) else ""
    assert core.lib.shm_trace_read(trace, raw, len(raw)) == (id.strip("0") != "")
    if id:
        assert bytes(trace.id) == bytes.fromhex(id)
    assert bytes(trace.span) == bytes(8)

    is_span = re.fullmatch(f"{digits}{{16}}", text) is not None and text.strip("0") != ""
    assert core.lib.shm_span_read(trace, raw, len(raw)) == is_span
    assert bytes(trace.span) == (bytes.fromhex(text) if is_span else bytes(8))


@pytest.mark.parametrize("length", [0, 15, 17, 31, 33, 35, 37])
def test_an_id_of_another_length_is_none(core: Any, length: int) -> None:
    trace = core.ffi.new("struct shm_trace *")
    assert not core.lib.shm_trace_read(trace, b"1" * length, length)
    assert not core.lib.shm_span_read(trace, b"1" * length, length)
