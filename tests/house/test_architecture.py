# SPDX-License-Identifier: Apache-2.0
"""The names in docs/architecture.md: folders, files, classes and functions, which all exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house import rooms
from tests.house.test_includes import CSRC, MAY_INCLUDE

TEXT = rooms.PAGE.read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:shmetrics|csrc|tests|benchmarks)/[\w./-]*)(?::([\w.]+))?`")
WAYS = ("The way of one event", "The way of one RPC", "The way of one span")
STATION = re.compile(r"\*\*([\w/]+/)\*\*")


def names(text: str) -> list[tuple[str, str]]:
    """Return each path of a text, with the name in that file that it is about, or nothing."""
    return [(path, name) for path, name in NAMED.findall(text)]


def has(file: Path, name: str) -> bool:
    """Return whether a file defines a name: Class.method, a function, a class, a macro."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        nodes: list[ast.AST] = [ast.parse(text)]
        for part in name.split("."):
            nodes = [
                child
                for node in nodes
                for child in ast.iter_child_nodes(node)
                if getattr(child, "name", None) == part
            ]
        return bool(nodes)
    if file.suffix in (".c", ".h"):
        return bool(re.search(rf"^[A-Za-z].*\b{name}\(", text, re.MULTILINE))
    owner, _, method = name.rpartition(".")
    if owner:
        start = re.search(rf"^cdef class {owner}\b.*$", text, re.MULTILINE)
        if start is None:
            return False
        text = re.split(r"^\S", text[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    definition = rf"^\s*(?:def|cdef class|cdef inline \w+) {method}\b"
    return bool(re.search(definition, text, re.MULTILINE))


def missing(text: str) -> list[str]:
    """Return the names in a text that do not exist."""
    found = []
    for path, name in names(text):
        file = rooms.ROOT / path
        if not file.exists() or (name and not has(file, name)):
            found.append(f"{path}:{name}")
    return found


def way(heading: str) -> str:
    return TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_all_that_it_names_is_there() -> None:
    assert len(names(TEXT)) > 40
    assert not missing(TEXT)


@pytest.mark.parametrize(
    "name",
    [
        "shmetrics/attic/",
        "shmetrics/traces/tree.py:forest",
        "shmetrics/lanes/lane.py:Lane.sail",
        "shmetrics/emitter/_series.pxi:HistogramSeries.inc",
        "csrc/lane/ring.h:shm_ring_marry",
    ],
)
def test_what_is_not_there_is_found(name: str) -> None:
    assert missing(f"`{name}`")


@pytest.mark.parametrize("heading", WAYS)
def test_a_way_enters_no_room_twice_and_names_files_of_its_rooms(heading: str) -> None:
    steps = re.split(r"^\d+\. ", way(heading), flags=re.MULTILINE)[1:]
    assert len(steps) >= 7
    seen: list[str] = []
    for step in steps:
        stations = STATION.findall(step)
        seen += stations
        folders = [name if name.startswith("csrc/") else f"shmetrics/{name}" for name in stations]
        assert [name for name in folders if not (rooms.ROOT / name).is_dir()] == []
        for path, _ in names(step):
            assert path.startswith(tuple(folders)), f"{path} is in none of {folders}"
    assert len(set(seen)) == len(seen), seen


def test_each_file_of_csrc_is_in_the_table() -> None:
    rows = list(rooms.table(TEXT, "The rooms of `csrc/`"))
    named = {name for cells in rows for name in re.findall(r"`([^`]+)`", cells[0])}
    folders = {name.rstrip("/") for name in named if name.endswith("/")}
    assert folders == set(MAY_INCLUDE)
    files = {name for name in named if not name.endswith("/")}
    assert files == {name for name in files if (CSRC / name).is_file()}
    headers = {str(path.relative_to(CSRC)) for path in CSRC.rglob("*.h")}
    alone = {
        str(path.relative_to(CSRC))
        for path in CSRC.rglob("*.c")
        if not path.with_suffix(".h").exists()
    }
    assert files == headers | alone


def test_the_folders_of_csrc_include_what_their_rows_say() -> None:
    said = {
        cells[0].strip("`/"): set(re.findall(r"`(\w+)/`", cells[-1]))
        for cells in rooms.table(TEXT, "The rooms of `csrc/`")
        if cells[0].endswith("/`") and len(cells) == 3
    }
    assert said == MAY_INCLUDE
