# SPDX-License-Identifier: Apache-2.0
"""Cython's modules in a graph of imports, which grimp makes of Python's alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from grimp import ImportGraph

_STATEMENT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]+)|c?import[ \t]+([\w.]+))",
    re.MULTILINE,
)
_PARSED = frozenset((".py", ".pyi", ".pyx", ".pxd", ".pxi"))
_PART = re.compile(r'^include[ \t]+"([^"]+)"', re.MULTILINE)


class Import(NamedTuple):
    """One name that a module imports of this package, and the line that says so."""

    importer: str
    imported: str
    line: int
    text: str


def complete(graph: ImportGraph, package: Path) -> None:
    """Add the compiled modules of a package to its graph, with all imports of and by them.

    `from shmetrics import _ring` is no import of the package itself, as grimp takes it for.
    """
    compiled, found = _read(package)
    for module in sorted(compiled):
        graph.add_module(module)
    known = graph.modules
    said = {(one.importer, _target(one.imported, known)) for one in found}
    for parent in {module.rpartition(".")[0] for module in compiled}:
        for importer in graph.find_modules_that_directly_import(parent):
            if (importer, parent) not in said:
                graph.remove_import(importer=importer, imported=parent)
    for one in found:
        target = _target(one.imported, known)
        if one.importer != target and (target in compiled or one.importer in compiled):
            graph.add_import(
                importer=one.importer,
                imported=target,
                line_number=one.line,
                line_contents=one.text,
            )


@cache
def _read(package: Path) -> tuple[frozenset[str], tuple[Import, ...]]:
    """Return the compiled modules of a package, and all imports of the package in their files."""
    compiled = frozenset(
        _module(path, package) for end in ("pyx", "pxd") for path in package.rglob(f"*.{end}")
    )
    owners = _owners(package)
    return compiled, tuple(
        one for path in _sources(package) for one in _imports(path, package, owners)
    )


def _sources(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*.p*") if path.suffix in _PARSED)


def _owners(package: Path) -> dict[Path, str]:
    """Return the module of each file that others include: the one that does so from its folder
    or above. Raises ValueError for a file that has none."""
    owners = {
        (path.parent / name).resolve(): _module(path, package)
        for path in sorted(package.rglob("*.pyx"))
        for name in _PART.findall(path.read_text(encoding="utf-8"))
        if not name.startswith("..")
    }
    for path in package.rglob("*.pxi"):
        if path.resolve() not in owners:
            raise ValueError(f"{path} is included by nothing in its folder or above")
    return owners


def _module(path: Path, package: Path) -> str:
    parts = (package.name, *path.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if path.stem == "__init__" else parts)


def _target(name: str, known: set[str]) -> str:
    """Return the module of a dotted name, which may end with a name inside the module."""
    return name if name in known or "." not in name else _target(name.rpartition(".")[0], known)


def _imports(path: Path, package: Path, owners: dict[Path, str]) -> Iterator[Import]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    module = owners.get(path.resolve()) or _module(path, package)
    names = _in_python(text) if path.suffix in (".py", ".pyi") else _in_cython(text)
    included = [
        (owners[(path.parent / match[1]).resolve()], _line(text, match))
        for match in _PART.finditer(text)
    ]
    for name, line in (*names, *included):
        if name == package.name or name.startswith(f"{package.name}."):
            yield Import(module, name, line, lines[line - 1].strip())


def _in_python(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)


def _in_cython(text: str) -> Iterator[tuple[str, int]]:
    for match in _STATEMENT.finditer(text):
        module, names, alone = match.groups()
        if alone:
            yield alone, _line(text, match)
            continue
        for name in names.strip("() \n").split(","):
            if name.strip():
                yield f"{module}.{name.split()[0]}", _line(text, match)


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1
