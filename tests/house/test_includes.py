# SPDX-License-Identifier: Apache-2.0
"""Promise: the rooms of csrc/ include each other one way, and what is installed needs no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.node import ROOT

CSRC = ROOT / "csrc"

# What the files of a room may include, beside their own room's.
MAY_INCLUDE = {
    "lane": set[str](),
    "emit": {"lane"},
    "drain": {"lane"},
    "render": {"lane"},
    "units": set[str](),
    "spawn": set[str](),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def sources(csrc: Path) -> list[Path]:
    return sorted(path for path in csrc.rglob("*") if path.is_file())


def included(path: Path) -> Iterator[Path]:
    """Yield the files of csrc/ that a file includes."""
    for name in INCLUDE.findall(path.read_text()):
        yield (path.parent / name).resolve()


def wrong(csrc: Path) -> list[str]:
    """Return the includes that break the rules, a line each."""
    found = []
    for path in sources(csrc):
        name = path.relative_to(csrc)
        if (
            len(name.parts) != 2
            or name.parts[0] not in MAY_INCLUDE
            or path.suffix not in (".c", ".h")
        ):
            found.append(f"{name}: in no room")
            continue
        room = name.parts[0]
        for other in included(path):
            if not other.is_file() or not other.is_relative_to(csrc):
                found.append(f"{name}: includes {other.name}, which is not there")
            elif other.relative_to(csrc).parts[0] not in MAY_INCLUDE[room] | {room}:
                found.append(f"{name}: includes {other.relative_to(csrc)}")
    return found


def test_the_rooms_include_each_other_one_way() -> None:
    assert {path.parent.name for path in sources(CSRC)} == set(MAY_INCLUDE)
    assert sum(1 for path in sources(CSRC) for _ in included(path)) > 50
    assert wrong(CSRC) == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("lane/a.h", '#include "../emit/emit.h"\n', "lane/a.h: includes emit/emit.h"),
        ("emit/a.c", '#include "../drain/drain.h"\n', "emit/a.c: includes drain/drain.h"),
        ("render/a.h", ' # include "../drain/drain.h"\n', "render/a.h: includes drain/drain.h"),
        ("drain/a.h", '#include "../emit/emit.h"\n', "drain/a.h: includes emit/emit.h"),
        ("emit/a.h", '#include "emit/emit.h"\n', "emit/a.h: includes emit.h, which is not there"),
        ("a.h", "", "a.h: in no room"),
        ("attic/a.h", "", "attic/a.h: in no room"),
    ],
)
def test_an_include_that_goes_up_is_found(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    for path, inside in (
        ("emit/emit.h", '#include "../lane/layout.h"\n'),
        ("drain/drain.h", '#include "../lane/layout.h"\n'),
        ("lane/layout.h", "#include <stdint.h>\n"),
        (name, text),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(inside)
    assert wrong(tmp_path) == [problem]
