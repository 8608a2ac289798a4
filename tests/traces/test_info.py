# SPDX-License-Identifier: Apache-2.0
"""The info of a span: plain JSON, and bounded, from any source and of any content."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics.traces import info as module
from shmetrics.traces.info import DEEPEST, MOST_CHARACTERS, decode, encode, essence, is_deep

from .conftest import Opened, event, id_of, whole

WHO = {"host": "h", "etype": "DiskFull", "message": "no space"}


def nested(depth: int, form: str = "list", innermost: Any = None) -> dict[str, Any]:
    """Return so many dictionaries and lists in each other, the outermost with them."""
    found = innermost
    for _ in range(depth - 1):
        found = [found] if form == "list" else {"x": found}
    return {"x": found}


def depth_of(value: Any) -> int:
    """Return the depth, the slow and obvious way, of a value that is not too deep for it."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, (list, tuple)):
        return 1 + max(map(depth_of, value), default=0)
    return 0


texts = st.text(st.characters(), max_size=6)  # with halves of pairs
odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.binary(max_size=6)
    | st.datetimes(timezones=st.just(timezone.utc))
    | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=3))
)
keys = texts | st.integers() | st.none() | st.binary(max_size=3) | st.floats() | st.tuples(texts)
values = st.recursive(
    odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=30,
)
infos = st.dictionaries(texts | st.sampled_from(list(WHO)), values, max_size=5)


def deepened(info: dict[str, Any], depth: int, form: str) -> dict[str, Any]:
    return {**info, **nested(depth, form)} if depth else info


@given(
    infos, st.integers(0, 40) | st.sampled_from([900, 100_000]), st.sampled_from(["list", "map"])
)
def test_whatever_is_said_is_plain_json_and_bounded(
    info: dict[str, Any], depth: int, form: str
) -> None:
    text, why = encode(deepened(info, depth, form))
    if depth > DEEPEST:
        assert why
    if text is None:
        return
    assert len(text) <= MOST_CHARACTERS
    found = json.loads(text, parse_constant=pytest.fail)  # NaN is no JSON
    assert depth_of(found) <= DEEPEST
    text.encode()
    assert decode(text) == (found, True)
    if why:
        assert found.items() <= {k: v[:255] for k, v in info.items() if isinstance(v, str)}.items()


@given(infos.filter(lambda info: encode(info)[1] == ""))
def test_what_is_within_the_bounds_is_kept_whole(info: dict[str, Any]) -> None:
    text, _ = encode(info)
    assert text == msgspec.json.encode(info).decode()


@pytest.mark.parametrize("form", ["list", "map"])
def test_what_is_as_deep_as_it_may_be_is_kept_and_what_is_deeper_is_not(form: str) -> None:
    for depth in range(1, DEEPEST + 1):
        text, why = encode({**WHO, **nested(depth, form)})
        assert (json.loads(text or ""), why) == ({**WHO, **nested(depth, form)}, "")
    for depth in (*range(DEEPEST + 1, 1100), 100_000):
        text, why = encode({**WHO, **nested(depth, form)})
        assert (json.loads(text or ""), why) == (WHO, "depth")


@given(values.filter(lambda value: depth_of(value) < 100))
def test_depth_is_that_of_whoever_counts_it_slowly(value: Any) -> None:
    assert is_deep({"x": value}) == (1 + depth_of(value) > DEEPEST)


def test_brackets_in_texts_are_no_depth() -> None:
    said = {"db": {"statement": "[{" * 100}}
    text, why = encode(said)
    assert (json.loads(text or ""), why) == (said, "")
    assert decode(text or "") == (said, True)


def test_what_is_longer_as_json_than_it_was_is_bounded() -> None:
    text, why = encode({**WHO, "x": "\1" * (MOST_CHARACTERS // 6)})
    assert (json.loads(text or ""), why) == (WHO, "size")


def test_of_texts_without_end_some_is_kept() -> None:
    kept = essence({"message": "m" * 10_000, "host": 5, "etype": "\ud800", "x": "y"})
    assert kept == {"message": "m" * module.LONGEST_TEXT}


@pytest.mark.parametrize(
    ("etype", "failure"),
    [
        ("DiskFull", "DiskFull"),
        (5, "5"),
        (False, "False"),
        (None, None),
        (nested(900)["x"], "list"),
        ({"a": 1}, "dict"),
        (b"x", "bytes"),
        ("\ud800", "?"),
        (msgspec.msgpack.Ext(1, b""), "Ext"),
    ],
)
def test_a_span_has_failed_whatever_is_said_of_why(
    opened: Opened, etype: Any, failure: str | None
) -> None:
    store, reader = opened()
    store.add([event(True, 1), event(False, 1, info={"etype": etype}), *whole(2)])
    first, second = sorted(reader.spans(id_of(1000)), key=lambda span: span.id)
    assert (first.exception, second.exception) == (failure, None)


# ---- what an earlier version, or a damaged disk, has left ----------------------------------------

JSON_OF_OLD = [
    ('{"x":' + "[" * 979 + "]" * 979 + "}", {}),
    ('{"x":' + "[" * 100_000 + "]" * 100_000 + "}", {}),
    ('{"host":"h","x":' + '{"k":' * 30 + "null" + "}" * 30 + "}", {"host": "h"}),
    ("[1, 2]", {}),
    ("null", {}),
    ('{"x": 1', {}),
    ('{"x": 1e400}', {}),
    ("", {}),
]


@pytest.mark.parametrize(("text", "said"), JSON_OF_OLD)
def test_what_was_written_before_is_bounded_where_it_is_read(
    opened: Opened, text: str, said: dict[str, Any]
) -> None:
    store, reader = opened()
    store.add([*whole(1, info={"a": 1}), *whole(2, info={"a": 1})])
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("UPDATE spans SET start_info = ? WHERE id = ?", (text, id_of(1)))
    first, second = sorted(reader.spans(id_of(1000)), key=lambda span: span.id)
    assert (first.start_info, first.stop_info, first.is_cut) == (said, {"a": 1}, True)
    assert (second.start_info, second.is_cut) == ({"a": 1}, False)


@example('{"x":' * 17)
@given(st.text(st.sampled_from('{}[]",:x1 \\'), max_size=40))
def test_whatever_is_read_is_bounded(text: str) -> None:
    found, is_all = decode(text)
    assert not is_deep(found)
    assert found == (json.loads(text) if is_all else essence(found))
