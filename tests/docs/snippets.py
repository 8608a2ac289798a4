# SPDX-License-Identifier: Apache-2.0
"""The fenced blocks and links of the documents, as data."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Snippet:
    """A fenced block. line: of its first line, so that a failure can be found."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Those written by hand: not the benchmarks' results."""
    folders = (ROOT, ROOT / "benchmarks", *(ROOT / "docs").rglob("*/"), ROOT / "docs")
    return sorted(path for folder in folders for path in folder.glob("*.md"))


def snippets_of(path: Path) -> Iterator[Snippet]:
    """The fenced blocks of a document. Raises ValueError for one that never ends."""
    opened: re.Match[str] | None = None
    begun, lines = 0, list[str]()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened, begun, lines = fence, number + 1, []
        elif opened is not None and line.strip() == "```":
            yield Snippet(path, begun, opened["language"], "\n".join(lines) + "\n")
            opened = None
        elif opened is not None:
            lines.append(line.removeprefix(opened["indent"]))
    if opened is not None:
        raise ValueError(f"{path}: the block at line {begun} never ends")


def snippets() -> list[Snippet]:
    return [snippet for path in documents() for snippet in snippets_of(path)]


def links_of(path: Path) -> list[str]:
    """Targets of the links outside fenced blocks."""
    prose = path.read_text()
    for snippet in snippets_of(path):
        prose = prose.replace(snippet.text, "")
    return [link["target"] for link in LINK.finditer(prose)]
