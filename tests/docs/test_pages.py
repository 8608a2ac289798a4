# SPDX-License-Identifier: Apache-2.0
"""The form of the pages: their lines are short, and every link into a page finds its heading."""

import re
from pathlib import Path

import pytest

from .snippets import ROOT, anchors_of, documents, links_of, long_lines_of

MOST_COLUMNS = 100

# The page is written anew beside new figures; only its tables are generated.
LONG = {"docs/performance.md"}

PAGES = {path.relative_to(ROOT).as_posix(): path for path in documents()}
WORDS = anchors_of(ROOT / "docs" / "glossary.md")


def test_the_exceptions_are_pages() -> None:
    assert PAGES.keys() >= LONG


@pytest.mark.parametrize("name", sorted(PAGES.keys() - LONG))
def test_lines_are_short(name: str) -> None:
    assert long_lines_of(PAGES[name], MOST_COLUMNS) == []


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_find_their_headings(name: str) -> None:
    path = PAGES[name]
    for link in links_of(path):
        target, hash_, anchor = link.partition("#")
        page = (path.parent / target).resolve() if target else path
        if hash_ and page.suffix == ".md" and "://" not in target:
            assert anchor in anchors_of(page), f"{name}: {link}"


def test_the_words_of_the_glossary_are_sorted_and_explained_once() -> None:
    words = [anchor for anchor in WORDS if anchor != "glossary"]
    assert words == sorted(set(words))


def test_every_word_of_the_glossary_has_a_text() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    for section in text.split("\n### ")[1:]:
        heading, _, meaning = section.partition("\n")
        assert meaning.strip(), heading


def test_a_wrong_page_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    long = "long " * 21
    page.write_text(
        f"# A `page`: of SQL_Alchemy, and more\n\n| {long} |\n```text\n{long}\n```\n"
        f"<!-- figures: x -->\n{long}\n<!-- end -->\n{long}\n"
        "## Twice\n## Twice\n## Twice\n```sh\n# no heading\n```\n"
    )
    assert long_lines_of(page, MOST_COLUMNS) == [10]
    assert anchors_of(page) == ["a-page-of-sql_alchemy-and-more", "twice", "twice-1", "twice-2"]


def test_the_site_lists_every_page() -> None:
    """Check the same as `make docs`, which stops at a page that it does not list."""
    listed = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = sorted(path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md"))
    assert sorted(listed) == pages
