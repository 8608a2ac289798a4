# SPDX-License-Identifier: Apache-2.0
"""The contract of rooms is kept, and each of its rules finds what breaks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from copy import deepcopy
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter import Contract, api
from importlinter.configuration import configure

from tests.house import rooms
from tests.house.compiled import complete
from tests.house.contracts import (
    CompiledForbiddenContract,
    CompiledLayersContract,
    violations,
)

pytestmark = pytest.mark.slow

configure()

HOUSE = rooms.read()
TOOLS = rooms.Row(HOUSE.tools, ())
OPTIONS: dict[str, dict[str, Any]] = {
    options["id"]: options
    for options in api.read_configuration(str(rooms.ROOT / "pyproject.toml"))["contracts_options"]
}
COLLECTING, EMITTING = OPTIONS["collecting"], OPTIONS["emitting"]
LAYERS = [[name.strip() for name in layer.split("|")] for layer in OPTIONS["one-way"]["layers"]]


@pytest.fixture(scope="module")
def whole() -> grimp.ImportGraph:
    graph = grimp.build_graph(rooms.PACKAGE, cache_dir=None)
    complete(graph, rooms.ROOT / rooms.PACKAGE)
    return graph


@pytest.fixture
def graph(whole: grimp.ImportGraph) -> grimp.ImportGraph:
    """Return a graph for one test alone."""
    return deepcopy(whole)


def _imported(graph: grimp.ImportGraph, module: str) -> set[str]:
    return graph.find_modules_directly_imported_by(module)


def _member(graph: grimp.ImportGraph, prefix: str) -> str:
    """Return a module of a room, deep inside it, and in no room of its own."""
    row = HOUSE.row_of(prefix)
    inside = [each for each in graph.find_descendants(prefix) if HOUSE.row_of(each) == row]
    return max(inside, default=prefix) if prefix != rooms.PACKAGE else prefix


def _is_kept(contract: type[Contract], id: str, graph: grimp.ImportGraph) -> bool:
    options = {key: value for key, value in OPTIONS[id].items() if key not in ("id", "type")}
    session = {"root_packages": [rooms.PACKAGE]}
    # It takes away from its graph what is ignored.
    return contract(id, session, options).check(deepcopy(graph), verbose=False).kept


@pytest.mark.parametrize("row", [*HOUSE.rows, TOOLS], ids=lambda row: row.name)
def test_a_row_finds_each_import_that_it_does_not_name(
    row: rooms.Row, graph: grimp.ImportGraph
) -> None:
    importer = _member(graph, row.modules[0])
    members = [_member(graph, other.modules[0]) for other in HOUSE.rows]
    forbidden = [
        imported
        for imported in members
        if HOUSE.allowance(row, imported) is None and imported not in _imported(graph, importer)
    ]
    for imported in forbidden:
        graph.add_import(importer=importer, imported=imported, line_number=1, line_contents="")
    found = list(violations(graph, HOUSE))
    assert forbidden
    assert sorted(found) == sorted(
        f"{row.name}: {importer} imports {imported} (line 1)" for imported in forbidden
    )


def test_a_name_that_nothing_imports_is_found(graph: grimp.ImportGraph) -> None:
    row = next(row for row in HOUSE.rows if row.name == "shmetrics.traces")
    too_much = row._replace(imports=(*row.imports, "shmetrics.web"))
    house = HOUSE._replace(rows=tuple(too_much if one == row else one for one in HOUSE.rows))
    assert list(violations(graph, house)) == [
        "shmetrics.traces: the row names shmetrics.web, and nothing there imports it"
    ]


def test_a_module_in_no_row_and_a_row_of_nothing_are_found(graph: grimp.ImportGraph) -> None:
    rows = [row for row in HOUSE.rows if row.name != "shmetrics.cli"]
    gone = rooms.Row(("shmetrics.attic",), ())
    found = list(violations(graph, HOUSE._replace(rows=(*rows, gone))))
    assert "shmetrics.cli.top is in no row" in found
    assert "shmetrics.attic: there is no shmetrics.attic" in found


def test_no_modules_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    def modules() -> TopologicalSorter[str]:
        return TopologicalSorter({module: _imported(graph, module) for module in graph.modules})

    modules().prepare()
    graph.add_import(importer="shmetrics.hooks.tracing.switches", imported="shmetrics.hooks.wsgi")
    with pytest.raises(CycleError):
        modules().prepare()


@pytest.mark.parametrize("at", range(1, len(LAYERS)))
def test_each_layer_finds_an_import_upwards(at: int, graph: grimp.ImportGraph) -> None:
    assert _is_kept(CompiledLayersContract, "one-way", graph)
    importer, imported = _member(graph, LAYERS[at][0]), _member(graph, LAYERS[at - 1][0])
    graph.add_import(importer=importer, imported=imported, line_number=1, line_contents="")
    assert not _is_kept(CompiledLayersContract, "one-way", graph)


@pytest.mark.parametrize(
    ("id", "importer", "imported"),
    [
        *(("collecting", room, "shmetrics.rpc") for room in COLLECTING["source_modules"]),
        *(("collecting", "shmetrics.http", m) for m in COLLECTING["forbidden_modules"]),
        *(("emitting", room, "shmetrics.store") for room in EMITTING["source_modules"]),
        *(("emitting", "shmetrics.hooks", m) for m in EMITTING["forbidden_modules"]),
    ],
)
def test_each_half_finds_an_import_of_the_other(
    id: str, importer: str, imported: str, graph: grimp.ImportGraph
) -> None:
    assert _is_kept(CompiledForbiddenContract, id, graph)
    graph.add_import(
        importer=_member(graph, importer),
        imported=_member(graph, imported),
        line_number=1,
        line_contents="",
    )
    assert not _is_kept(CompiledForbiddenContract, id, graph)


def test_every_room_is_in_a_layer() -> None:
    """Check all rooms but those in rooms, and the package, which imports at a first use only."""
    layered = {name for layer in LAYERS for name in layer}
    modules = {module for row in (*HOUSE.rows, TOOLS) for module in row.modules}
    modules.remove(rooms.PACKAGE)
    assert {each for each in modules if each.rpartition(".")[0] not in modules} == layered


ADDED = [
    ("traces/tree.py", "from shmetrics.web import app\n", "traces.tree imports shmetrics.web.app"),
    (
        "traces/times.py",
        "def late() -> None:\n    from shmetrics import rpc\n",
        "traces.times imports shmetrics.rpc",
    ),
    (
        "traces/store_clock.py",
        "from shmetrics import (\n    errors,\n    _ring,\n)\n",
        "traces.store_clock imports shmetrics._ring",
    ),
    (
        "render/_text.pyx",
        "from shmetrics.lanes._drain cimport LaneDrain\n",
        "render._text imports shmetrics.lanes._drain",
    ),
    (
        "render/_proto.pyx",
        "    from shmetrics.web import app\n",
        "render._proto imports shmetrics.web.app",
    ),
    (
        "store/_cells.pxd",
        "from shmetrics.render._proto cimport (\n    Page,\n    Rows)\n",
        "store._cells imports shmetrics.render._proto",
    ),
    (
        "emitter/_spans.pxi",
        "cimport shmetrics.lanes._drain\n",
        "_ring imports shmetrics.lanes._drain",
    ),
    (
        "render/_text.pyi",
        "from shmetrics.http import tls\n",
        "render._text imports shmetrics.http.tls",
    ),
    (
        "lanes/_drain.pyx",
        'include "../emitter/_spans.pxi"\n',
        "lanes._drain imports shmetrics._ring",
    ),
]


def test_lint_imports_finds_each_in_a_file(tmp_path: Path) -> None:
    shutil.copytree(
        rooms.ROOT / rooms.PACKAGE,
        tmp_path / rooms.PACKAGE,
        ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__", "include"),
    )
    shutil.copytree(rooms.ROOT / "tests" / "house", tmp_path / "tests" / "house")
    for name in ("pyproject.toml", "docs/architecture.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(rooms.ROOT / name, tmp_path / name)
    for file, text, _ in ADDED:
        with (tmp_path / rooms.PACKAGE / file).open("a") as changed:
            changed.write(text)
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    for _, _, line in ADDED:
        assert f": shmetrics.{line} (line " in done.stdout


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it there, with lines of any length."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contract_is_kept() -> None:
    done = lint_imports(rooms.ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
