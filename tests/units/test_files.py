# SPDX-License-Identifier: Apache-2.0
"""Promise: each form of a file is read as plain Python reads it, whatever is written there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from math import isnan, nan
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics.units import _files
from shmetrics.units._files import Files, Form
from tests.units import twin

KEYS = ("usage_usec", "anon", "a", "oom_kill")


def in_memory(text: bytes) -> int:
    """Return the descriptor of a file with this text."""
    fd = os.memfd_create("text")
    os.write(fd, text)
    return fd


def read(form: int, text: bytes, n: int, keys: tuple[str, ...] = ()) -> list[float]:
    """Return the values of one file."""
    names = [key.encode() for key in keys] or [b""] * n
    files = Files(Form([(form, names, range(n), [1.0] * n)], 0), [in_memory(text)])
    try:
        assert files.read() == 0
        return list(memoryview(files).cast("d"))
    finally:
        files.close()


def rows(form: int, text: bytes) -> dict[tuple[int, int], tuple[float, ...]]:
    """Return the rows of one file of devices; numbers of operations are read behind bytes."""
    before = b"9999:9999 Read 1\n" if form == _files.BLKIO_COUNTS else b""
    texts = [before, text] if before else [text]
    forms = [_files.BLKIO_BYTES, form] if before else [form]
    files = Files(Form([(each, [], [], []) for each in forms], 0), list(map(in_memory, texts)))
    try:
        files.read()
        return {(major, minor): tuple(rest) for major, minor, *rest in files.devices()}
    finally:
        files.close()


def same(found: list[float], wanted: list[float]) -> bool:
    return len(found) == len(wanted) and all(
        a == b or (isnan(a) and isnan(b)) for a, b in zip(found, wanted, strict=True)
    )


words = (
    st.integers(0, 2**70).map(str)
    | st.sampled_from(["max", "-1", "", "0", "1.5", "9223372036854771712", "+3", "1e3", "\0"])
    | st.text("019 \t-x", max_size=5)
)
lines = st.builds("{}{}{}".format, st.sampled_from([*KEYS, "", "x", "usage"]), words, words)
texts = st.lists(
    st.one_of(
        words,
        lines,
        st.builds("{} {}".format, st.sampled_from([*KEYS, "ann", "usage_use"]), words),
        st.builds("{} avg10=0.00 total={}".format, st.sampled_from(["some", "full"]), words),
    ),
    max_size=8,
).map("\n".join)


@given(texts)
@example("123")
@example("max\n")
@example("50000 100000\n")
@example("")
def test_fields(text: str) -> None:
    assert same(read(_files.FIELDS, text.encode(), 3), twin.fields(text, 3))


@given(texts)
@example("usage_usec 12\nusage_usec 13\n")
@example("anon")
@example("anon 1")
@example("anon 1 2\nnew 5\n\n")
def test_keyed(text: str) -> None:
    found = twin.keyed(text)
    wanted = [found.get(key, nan) for key in KEYS]
    assert same(read(_files.KEYED, text.encode(), len(KEYS), KEYS), wanted)


@given(texts)
@example("some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 total=3\n")
@example("some total")
@example("full total=")
def test_pressure(text: str) -> None:
    assert same(read(_files.PRESSURE, text.encode(), 2), twin.pressure(text))


@pytest.mark.parametrize("n", [0, 1, 2, 30_000])
def test_lines_are_counted_to_the_end(n: int) -> None:
    assert read(_files.LINES, b"12345\n" * n, 1) == [n]


@given(st.binary(max_size=300), st.sampled_from([_files.FIELDS, _files.KEYED, _files.PRESSURE]))
def test_garbage_is_no_number_and_no_end(text: bytes, form: int) -> None:
    for value in read(form, text, 2, ("a", "b") if form == _files.KEYED else ()):
        assert isnan(value) or 0 <= value < twin.NO_LIMIT


@given(st.binary(max_size=300))
def test_garbage_of_devices_is_no_row_or_a_sound_one(text: bytes) -> None:
    for form in (_files.IO_STAT, _files.BLKIO_BYTES, _files.BLKIO_COUNTS):
        for values in rows(form, text).values():
            assert all(isnan(value) or 0 <= value < twin.NO_LIMIT for value in values)


devices = st.dictionaries(
    st.tuples(st.integers(0, 2**12), st.integers(0, 2**20)),
    st.tuples(*[st.integers(0, 2**61)] * 4),
    max_size=20,
)


@given(devices, st.booleans())
def test_devices_of_v2(wanted: dict[tuple[int, int], tuple[int, ...]], is_last: bool) -> None:
    names = ("rbytes", "wbytes", "rios", "wios")
    text = "".join(
        f"{major}:{minor} "
        + " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        + " dbytes=0 dios=0 cost.usage=7\n"
        for (major, minor), values in wanted.items()
    )
    text = text[:-1] if is_last else text  # without its last newline
    found = rows(_files.IO_STAT, text.encode())
    assert found == {key: tuple(map(float, values)) for key, values in wanted.items()}


@given(devices)
def test_devices_of_v1(wanted: dict[tuple[int, int], tuple[int, ...]]) -> None:
    def text(read: int, written: int) -> bytes:
        parts = [
            f"{major}:{minor} Read {values[read]}\n{major}:{minor} Write {values[written]}\n"
            f"{major}:{minor} Sync 5\n{major}:{minor} Total 99\n"
            for (major, minor), values in wanted.items()
        ]
        return ("".join(parts) + "Total 12\n").encode()

    form = Form([(_files.BLKIO_BYTES, [], [], []), (_files.BLKIO_COUNTS, [], [], [])], 0)
    files = Files(form, [in_memory(text(0, 1)), in_memory(text(2, 3))])
    files.read()
    found = {(major, minor): tuple(rest) for major, minor, *rest in files.devices()}
    files.close()
    assert found == {key: tuple(map(float, values)) for key, values in wanted.items()}


def test_a_device_without_bytes_has_no_operations() -> None:
    form = Form([(_files.BLKIO_BYTES, [], [], []), (_files.BLKIO_COUNTS, [], [], [])], 0)
    files = Files(form, [in_memory(b"Total 0\n"), in_memory(b"8:0 Read 5\nTotal 5\n")])
    assert files.read() == 0
    assert files.devices() == []
    files.close()


def test_a_number_without_a_row_is_skipped() -> None:
    """Check what some kernels write of a device that has done nothing: no newline behind it."""
    found = rows(_files.IO_STAT, b"254:0 8:16 rbytes=1 wbytes=2 rios=3 wios=4\n")
    assert found == {(8, 16): (1.0, 2.0, 3.0, 4.0)}


def test_more_devices_than_there_is_room_for_are_left_out() -> None:
    text = "".join(f"8:{minor} rbytes=1\n" for minor in range(100)).encode()
    files = Files(Form([(_files.IO_STAT, [], [], [])], 0), [in_memory(text)])
    files.read()
    assert (len(files.devices()), files.devices_left_out) == (64, 36)
    files.close()


# ---- many files as one array ------------------------------------------------------------------


def test_values_go_to_their_places_in_their_unit() -> None:
    form = Form(
        [
            (_files.FIELDS, [b"", b""], [3, 0], [1e6, 1.0]),
            (_files.KEYED, [b"b", b"a"], [1, 2], [1.0, 100.0]),
        ],
        0,
    )
    files = Files(form, [in_memory(b"500000 100000\n"), in_memory(b"a 50\nb 7\n")])
    files.read()
    assert list(memoryview(files).cast("d")) == [100000, 7, 0.5, 0.5]
    files.close()


@pytest.mark.parametrize(("whole", "part", "rest"), [(10, 4, 6), (4, 10, 0), (5, 5, 0)])
def test_a_rest_is_not_below_zero(whole: int, part: int, rest: int) -> None:
    form = Form([(_files.FIELDS, [b""], [0], [1.0]), (_files.FIELDS, [b""], [1], [1.0])], 0, (1, 0))
    files = Files(form, [in_memory(b"%d" % whole), in_memory(b"%d" % part)])
    files.read()
    assert list(memoryview(files).cast("d")) == [whole, rest]
    files.close()


def test_a_file_that_is_not_there_costs_its_own_values(tmp_path: Path) -> None:
    form = Form([(_files.FIELDS, [b""], [0], [1.0]), (_files.FIELDS, [b""], [1], [1.0])], 0)
    folder = os.open(tmp_path, os.O_RDONLY)
    files = Files(form, [folder, in_memory(b"7")])
    assert files.read() == 1
    assert files.errors() == [errno.EISDIR]
    assert same(list(memoryview(files).cast("d")), [nan, 7])
    files.close()
    assert files.read() == 0
    assert same(list(memoryview(files).cast("d")), [nan, nan])


@given(st.lists(st.none() | st.integers(0, 100), min_size=1, max_size=20))
def test_a_counter_that_is_shown_does_not_fall(totals: list[int | None]) -> None:
    fd = in_memory(b"")
    files = Files(Form([(_files.FIELDS, [b""], [0], [1.0])], 1), [fd])
    shown: float = nan
    for total in totals:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"" if total is None else b"%d" % total, 0)
        files.read()
        settled = files.settle()
        now = memoryview(files).cast("d")[0]
        was = shown
        shown = nan if total is None else float(total) if isnan(was) else max(was, float(total))
        assert same([now], [shown])
        if isnan(was) != isnan(shown):
            assert settled == _files.CAME_OR_WENT
        else:
            assert settled == (_files.SAME if same([was], [shown]) else _files.CHANGED)
    files.close()


def test_a_gauge_falls() -> None:
    fd = in_memory(b"9")
    files = Files(Form([(_files.FIELDS, [b""], [0], [1.0])], 0), [fd])
    files.read()
    assert files.settle() == _files.CAME_OR_WENT
    os.pwrite(fd, b"3", 0)
    files.read()
    assert files.settle() == _files.CHANGED
    assert list(memoryview(files).cast("d")) == [3]
    files.close()


WRONG: list[Callable[[], object]] = [
    lambda: Form([(_files.FIELDS, [b""], [0, 1], [1.0, 1.0])], 0),
    lambda: Form([(_files.FIELDS, [b""], [1], [1.0])], 0),
    lambda: Form([(_files.FIELDS, [b""], [0], [1.0])], 2),
    lambda: Form([(_files.FIELDS, [b""] * 65, range(65), [1.0] * 65)], 0),
    lambda: Form([(_files.IO_STAT, [], [0], [1.0])], 0),
    lambda: Form([(_files.FIELDS, [b""], [0], [1.0])], 0, (0, 5)),
    lambda: Files(Form([(_files.FIELDS, [b""], [0], [1.0])], 0), []),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"file 0|places|descriptors|rest"):
        wrong()


# ---- processes ------------------------------------------------------------------


def test_a_process_is_read_as_the_kernel_writes_it() -> None:
    text = Path("/proc/self/stat").read_bytes()
    found = _files.process(text)
    assert found is not None
    words = text.rpartition(b")")[2].split()
    assert found[0] == text.partition(b"(")[2].rpartition(b")")[0]
    assert found[1] == words[0].decode()
    assert list(found[2:]) == [int(words[at - 3]) for at in (4, 14, 15, 20, 22, 23, 24)]


@given(st.binary(max_size=20))
def test_a_process_may_call_itself_as_it_likes(name: bytes) -> None:
    rest = b" ".join(str(n).encode() for n in range(4, 53))
    found = _files.process(b"17 (" + name + b") S " + rest + b"\n")
    assert found == (name, "S", 4, 14, 15, 20, 22, 23, 24)


@given(st.binary(max_size=200))
def test_garbage_is_no_process(text: bytes) -> None:
    found = _files.process(text)
    assert found is None or b"(" in text


@pytest.mark.parametrize(
    "text", [b"", b"1 (a", b"1 (a)", b"1 )a( S 1", b"1 (a) S", b"1 (a) SS 1 2"]
)
def test_half_a_process_is_none(text: bytes) -> None:
    assert _files.process(text) is None
