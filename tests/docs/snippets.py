# SPDX-License-Identifier: Apache-2.0
"""The fenced blocks, links, headings and lines of the documents, as data."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"#{1,6} +(?P<text>.+)")
GENERATED, END = "<!-- figures: ", "<!-- end -->"


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
    """Return the documents that are written by hand: all but the benchmarks' results."""
    folders = (ROOT, ROOT / "benchmarks", *(ROOT / "docs").rglob("*/"), ROOT / "docs")
    return sorted(path for folder in folders for path in folder.glob("*.md"))


def snippets_of(path: Path) -> Iterator[Snippet]:
    """Yield the fenced blocks of a document. Raises ValueError for one that never ends."""
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
    """Yield the targets of the links outside fenced blocks."""
    prose = path.read_text()
    for snippet in snippets_of(path):
        prose = prose.replace(snippet.text, "")
    return [link["target"] for link in LINK.finditer(prose)]


def anchors_of(path: Path) -> list[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    anchors: list[str] = []
    times: Counter[str] = Counter()
    for _, line in _lines_outside_fences(path):
        if heading := HEADING.match(line):
            text = re.sub(r"\]\([^)]*\)", "", heading["text"])
            anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            anchors.append(f"{anchor}-{times[anchor]}" if times[anchor] else anchor)
            times[anchor] += 1
    return anchors


def long_lines_of(path: Path, most_columns: int) -> list[int]:
    """Return the numbers of a document's lines that are longer than most_columns, outside fenced
    blocks, tables, and what is generated."""
    found: list[int] = []
    is_generated = False
    for number, line in _lines_outside_fences(path):
        is_generated = line.startswith(GENERATED) or (is_generated and line != END)
        if len(line) > most_columns and not is_generated and not line.startswith("|"):
            found.append(number)
    return found


def _lines_outside_fences(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a document that are in no fenced block."""
    fenced = {
        line
        for snippet in snippets_of(path)
        for line in range(snippet.line, snippet.line + snippet.text.count("\n"))
    }
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if number not in fenced:
            yield number, line
