# SPDX-License-Identifier: Apache-2.0
"""The core's sources as text: its functions, and the atomic operations in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
CSRC = ROOT / "csrc"

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
FUNCTION = re.compile(
    r"^[a-zA-Z][\w *]*?\b(?P<name>\w+)\([^;{]*\)\n\{\n(?P<body>.*?)^\}", re.MULTILINE | re.DOTALL
)
ATOMIC = re.compile(r"\batomic_(?:load|store)_explicit\(")


class Operation(NamedTuple):
    """An atomic load or store. object, order: as they are written."""

    function: str
    object: str
    order: str

    def __str__(self) -> str:
        return f"{self.function}: {self.object}"


def functions(path: Path) -> dict[str, str]:
    """Bodies of a file's functions, without comments, by name."""
    text = COMMENT.sub("", path.read_text())
    return {found["name"]: found["body"] for found in FUNCTION.finditer(text)}


def all_functions() -> dict[str, str]:
    return {name: body for path in sources() for name, body in functions(path).items()}


def sources() -> list[Path]:
    return sorted(CSRC.glob("*/*.[ch]"))


def operations() -> Iterator[Operation]:
    """Every atomic operation of the core, once per function, object and order."""
    seen = set()
    for path in sources():
        text = COMMENT.sub("", path.read_text())
        bodies = functions(path)
        assert len(ATOMIC.findall(text)) == sum(len(ATOMIC.findall(b)) for b in bodies.values())
        for name, body in bodies.items():
            for found in ATOMIC.finditer(body):
                words = _arguments(body, found.end())
                operation = Operation(name, words[0], words[-1])
                if operation not in seen:
                    seen.add(operation)
                    yield operation


def _arguments(text: str, at: int) -> list[str]:
    """Return what stands between the parenthesis before `at` and its partner, parted at commas."""
    depth = 0
    words = [""]
    while depth or text[at] != ")":
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if text[at] == "," and depth == 0:
            words.append("")
        else:
            words[-1] += text[at]
        at += 1
    return [" ".join(word.split()) for word in words]
