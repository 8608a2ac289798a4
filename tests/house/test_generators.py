# SPDX-License-Identifier: Apache-2.0
"""Rule: what runs in a service has no generator expression.

Where there is no memory for one, CPython 3.12 crashes; a list, or a loop, raises MemoryError.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.nodes.node import ROOT

IN_A_SERVICE = ("emitter", "hooks", "label_rules", "registration/client.py", "rpc.py")


def modules() -> list[Path]:
    found = [ROOT / "shmetrics" / name for name in IN_A_SERVICE]
    return [each for path in found for each in (path.rglob("*.py") if path.is_dir() else [path])]


def generators_of(source: str) -> list[int]:
    """Return the lines of the generator expressions that run later than at the import."""
    return [
        node.lineno
        for function in ast.walk(ast.parse(source))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
        if isinstance(node, ast.GeneratorExp)
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_there_is_none(path: Path) -> None:
    assert generators_of(path.read_text()) == []


def test_one_is_found() -> None:
    assert generators_of("x = any(y for y in z)\ndef f():\n    return any(y for y in z)") == [3]
