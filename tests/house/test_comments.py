# SPDX-License-Identifier: Apache-2.0
"""Promise: what a comment names is there: functions and constants of csrc/, and files."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.node import ROOT

COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
NAME = re.compile(r"\b(?:shm|SHM)_\w*\w\b(?!\*)")
CALLED = re.compile(r"(?<![\w.>])([a-z]\w+)\(\)")
FILE = re.compile(
    r"(?<![\w./*<{-])((?:[\w-]+/)*\w[\w-]*\.(?:py|pyx|pxi|pxd|pyi|c|h|md|toml))(?![\w(])"
)

# Functions of the C library and of the kernel that comments are about.
FOREIGN = {"fork", "malloc", "memcpy", "mmap", "repr", "_exit", "read", "poll", "sigaction"}

# What a comment may call a file that is in no repository of ours.
FOREIGN_FILES = {"collector.json", "setup.py", "node.toml", "sitecustomize.py"}


def split(source: str) -> tuple[str, list[str]]:
    """Return C without its comments and strings, and the comments."""
    comments: list[str] = []

    def take(found: re.Match[str]) -> str:
        if not found[0].startswith('"'):
            comments.append(found[0])
        return " "

    return COMMENT.sub(take, source), comments


def c_files() -> list[Path]:
    return sorted(
        path
        for folder in ("csrc", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".c", ".h", ".hpp", ".cpp") and "build" not in path.parts
    )


def missing_names(sources: dict[str, str]) -> list[str]:
    """Return the names in comments that no code has. sources: text by file name."""
    halves = {name: split(text) for name, text in sources.items()}
    defined = {word for code, _ in halves.values() for word in re.findall(r"\w+", code)}
    found = []
    for name, (_, comments) in halves.items():
        for comment in comments:
            named = set(NAME.findall(comment)) | set(CALLED.findall(comment)) - FOREIGN
            found += [f"{name}: {word}" for word in sorted(named - defined)]
    return found


def python_texts() -> Iterator[tuple[str, str]]:
    """Yield the comments and docstrings of the package, with the name of their file."""
    for path in sorted((ROOT / "shmetrics").rglob("*")):
        if path.suffix not in (".py", ".pyx", ".pxi", ".pxd"):
            continue
        text = path.read_text()
        name = str(path.relative_to(ROOT))
        if path.suffix == ".py":
            for token in tokenize.generate_tokens(io.StringIO(text).readline):
                if token.type == tokenize.COMMENT or token.string.startswith('"""'):
                    yield name, token.string
        else:
            for found in re.findall(r'""".*?"""|#[^\n]*', text, re.DOTALL):
                yield name, found


def missing_files(texts: list[tuple[str, str]]) -> list[str]:
    """Return the files that are named and do not exist: a path from the top, or the end of one."""
    folders = ("shmetrics", "csrc", "tests", "benchmarks", "docs", "packaging")
    there = {
        f"/{path.relative_to(ROOT)}" for folder in folders for path in (ROOT / folder).rglob("*.*")
    } | {f"/{path.name}" for path in ROOT.iterdir()}
    return [
        f"{name}: {file}"
        for name, text in texts
        for file in FILE.findall(text)
        if file not in FOREIGN_FILES and not any(one.endswith(f"/{file}") for one in there)
    ]


def test_comments_name_what_is_in_the_code() -> None:
    assert missing_names({path.name: path.read_text() for path in c_files()}) == []


def test_a_name_that_is_gone_is_found() -> None:
    sources = {
        "a.h": "/* See shm_gone() and shm_here, SHM_LOST; old_helper() too; not shm_emit_* */\n"
        'void shm_here(void); const char *text = "shm_gone";\n'
    }
    assert missing_names(sources) == ["a.h: SHM_LOST", "a.h: old_helper", "a.h: shm_gone"]


@pytest.mark.slow
def test_comments_name_files_that_are_there() -> None:
    texts = [*python_texts()]
    for path in c_files():
        texts += [(path.name, comment) for comment in split(path.read_text())[1]]
    assert sum(len(FILE.findall(text)) for _, text in texts) > 50
    assert missing_files(texts) == []


def test_a_file_that_is_gone_is_found() -> None:
    text = "see csrc/lane/ring.h, gone.h and csrc/emit/ring.h; shmetrics/_gone.pyx"
    assert missing_files([("a.py", text)]) == [
        *("a.py: gone.h", "a.py: csrc/emit/ring.h", "a.py: shmetrics/_gone.pyx")
    ]
