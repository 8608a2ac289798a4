# SPDX-License-Identifier: Apache-2.0
"""A change of the lane's layout raises its version, or does not pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shmetrics import layout as compiled
from tests.compatibility import layout
from tests.compatibility.layout import Facts

ASSERTIONS = re.compile(r"static_assert\(.*?\);", re.DOTALL)

# What a collector reads of a lane, or writes into it, before it knows the lane's version, or to
# tell the process of another version to register anew. No version may move it.
FOREVER = {
    "SHM_LANE_MAGIC": "7308886363588817710",
    "shm_identity.magic": "at 0, 8 bytes uint64_t",
    "shm_identity.version": "at 8, 4 bytes _Atomic uint32_t",
    "shm_header.identity": "at 0, 256 bytes struct shm_identity",
    "shm_header.consumer": "at 512, 256 bytes struct shm_consumer_line",
    "shm_consumer_line.state": "at 128, 4 bytes _Atomic uint32_t",
    "SHM_LANE_CLOSED": "1",
}


@pytest.fixture(scope="module")
def now() -> Facts:
    return layout.layout_of(layout.headers())


def changed(folder: Path, old: str, new: str) -> Facts:
    """Return the facts of the headers with one change in them."""
    made = []
    for header in layout.headers():
        text = ASSERTIONS.sub("", header.read_text())
        assert old in text or header.name != "layout.h"
        made.append(folder / header.parent.name / header.name)
        made[-1].parent.mkdir(exist_ok=True)
        made[-1].write_text(text.replace(old, new))
    return layout.layout_of(made)


def test_a_changed_layout_has_a_raised_version(now: Facts) -> None:
    found = layout.complaints(layout.read(), now)
    assert not found, (
        f"the layout has changed: {found}; raise {layout.VERSION} in csrc/lane/layout.h, "
        "then run `python -m tests.compatibility.layout`, and see docs/compatibility.md"
    )


def test_the_facts_are_those_of_the_compiled_package(now: Facts) -> None:
    assert now.version == compiled.LAYOUT_VERSION
    assert now.facts["SHM_HEADER_BYTES"] == str(compiled.HEADER_BYTES)
    assert now.facts["SHM_INDEX_START"] == str(compiled.INDEX_START)
    offsets = {name: offset for name, _, offset in compiled.RECORD_FIELDS if name != "span"}
    for name, offset in offsets.items():  # the span is one of its trace
        assert now.facts[f"shm_record.{name}"].startswith(f"at {offset},")


def test_what_versions_say_to_each_other_stays(now: Facts) -> None:
    assert {name: now.facts.get(name) for name in FOREVER} == FOREVER


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("#define SHM_CELL_DURATION 2u", "#define SHM_CELL_DURATION 4u", "SHM_CELL_DURATION"),
        ('"__overflow__"', '"other"', "SHM_OVERFLOW_VALUE"),
        ("    SHM_TYPE_SPANS = 6,", "    SHM_TYPE_SPANS = 7,", "SHM_TYPE_SPANS"),
        ("    SHM_LANE_PRIVATE = 2,", "    SHM_LANE_PRIVATE = 2, SHM_NEW,", "SHM_NEW"),
        ("    uint32_t id;\n    uint32_t of;", "    uint32_t of;\n    uint32_t id;", "entry.of"),
        ("uint16_t n_info;", "uint8_t n_info, more;", "shm_span.more"),
        ("uint64_t duration_ns;", "double duration_ns;", "shm_record.duration_ns"),
        ("uint8_t bytes[SHM_SPAN_INFO_BYTES];", "uint8_t bytes[48];", "struct shm_span_info"),
    ],
)
def test_a_change_is_found(tmp_path: Path, now: Facts, old: str, new: str, named: str) -> None:
    found = layout.complaints(now, changed(tmp_path, old, new))
    assert any(named in complaint for complaint in found)


def test_a_comment_is_no_change(tmp_path: Path, now: Facts) -> None:
    assert not layout.complaints(now, changed(tmp_path, "/* stamp */", "/* a stamp */"))


def test_the_facts_are_written_anew_for_a_raised_version_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = tmp_path / "layout.json"
    found = [Facts(1, {"a": "1"}), Facts(1, {"a": "2"}), Facts(2, {"a": "2"})]
    monkeypatch.setattr(layout, "SNAPSHOT", snapshot)
    monkeypatch.setattr(layout, "layout_of", lambda headers: found.pop(0))
    assert layout.main() == 0
    assert layout.main() == 1
    assert "a: 1 -> 2" in capsys.readouterr().err
    assert layout.read() == Facts(1, {"a": "1"})
    assert layout.main() == 0
    assert layout.read() == Facts(2, {"a": "2"})
