# SPDX-License-Identifier: Apache-2.0
"""Contracts for import-linter that know docs/architecture.md, and compiled modules."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

from tests.house import rooms
from tests.house.compiled import complete


class RoomsContract(Contract):
    """A rule of each row: a room imports what its row names, all that it names, and tools."""

    type_name = "rooms"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        complete(graph, _package())
        broken = list(violations(graph, rooms.read()))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["broken"]:
            output.print_error(line, bold=False)


class CompiledLayersContract(LayersContract):
    """Layers, with compiled modules."""

    type_name = "compiled_layers"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        complete(graph, _package())
        return super().check(graph, verbose)


class CompiledForbiddenContract(ForbiddenContract):
    """Forbidden imports, with compiled modules."""

    type_name = "compiled_forbidden"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        complete(graph, _package())
        return super().check(graph, verbose)


def violations(graph: ImportGraph, house: rooms.House) -> Iterator[str]:
    """Say each way in which a graph and the table differ, a line each."""
    used = set()
    for module in sorted(graph.modules):
        row = house.row_of(module)
        if row is None:
            yield f"{module} is in no row"
            continue
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            entry = house.allowance(row, imported)
            if entry is None:
                where = graph.get_import_details(importer=module, imported=imported)
                line = where[0]["line_number"] if where else "?"
                yield f"{row.name}: {module} imports {imported} (line {line})"
            else:
                used.add((row.name, entry))
    for row in house.rows:
        for module in row.modules:
            if module not in graph.modules:
                yield f"{row.name}: there is no {module}"
        for entry in row.imports:
            if (row.name, entry) not in used:
                yield f"{row.name}: the row names {entry}, and nothing there imports it"


def _package() -> Path:
    """Return the folder of the package that is checked: import-linter's, the first on sys.path."""
    spec = find_spec(rooms.PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(rooms.PACKAGE)
    return Path(spec.origin).parent
