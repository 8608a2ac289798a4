# SPDX-License-Identifier: Apache-2.0
"""Give the site of docs/ the files outside docs/ to which its pages link.

MkDocs knows only what is under docs/. In the repository a page links to README.md or to a source
file by its path, and people follow that link where they read. Here such a file becomes part of the
site: a Markdown file is a page, any other one is a page with its text. A link to nothing is left
as it is, and `mkdocs build --strict` ends with it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = PurePosixPath("docs")
FOLDER = PurePosixPath("repository")  # of the site, in which files from outside docs/ are

LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each file that a page links to, and those that these link to."""
    waiting = [ROOT / DOCS / file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for link in LINK.finditer(page.read_text()):
            target = _target(page, link["path"])
            if target is None or files.get_file_from_path(_uri(target)):
                continue
            if target.suffix == ".md":
                waiting.append(target)
            files.append(_file(config, target))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Return the page with its links led to where the site has the files."""
    origin = _origin(page.file.src_uri)

    def led(link: re.Match[str]) -> str:
        target = _target(origin, link["path"])
        if target is None:
            return link[0]
        path = os.path.relpath(_uri(target), PurePosixPath(page.file.src_uri).parent)
        return path + (link["anchor"] or "")

    return LINK.sub(led, markdown)


def _file(config: MkDocsConfig, target: Path) -> File:
    """Return a file of the repository as a page of the site."""
    text = target.read_text()
    if target.suffix != ".md":
        name = target.relative_to(ROOT).as_posix()
        text = f"# {name}\n\n````{target.suffix.lstrip('.')}\n{text}\n````\n"
    level = InclusionLevel.NOT_IN_NAV
    return File.generated(config, _uri(target), content=text, inclusion=level)


def _target(page: Path, path: str) -> Path | None:
    """Return the file that a link of a page leads to, if the repository has it; a link to a folder
    leads to its index.md or README.md."""
    found = Path(os.path.normpath(page.parent / path))
    if not found.is_relative_to(ROOT):
        return None
    choices = (found / "index.md", found / "README.md") if found.is_dir() else (found,)
    return next(filter(Path.is_file, choices), None)


def _uri(target: Path) -> str:
    """Return where the site has a file of the repository."""
    path = PurePosixPath(target.relative_to(ROOT).as_posix())
    if path.is_relative_to(DOCS):
        return str(path.relative_to(DOCS))
    return str(FOLDER / path) + ("" if path.suffix == ".md" else ".md")


def _origin(uri: str) -> Path:
    """Return the file of the repository from which a page of the site is made."""
    path = PurePosixPath(uri)
    if not path.is_relative_to(FOLDER):
        return ROOT / DOCS / path
    found = ROOT / path.relative_to(FOLDER)
    return found if found.exists() else found.with_suffix("")
