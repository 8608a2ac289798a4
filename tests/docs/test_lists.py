# SPDX-License-Identifier: Apache-2.0
"""Pages that list something list all of it."""

from __future__ import annotations

import re

import pytest

from shmetrics import cli

from .snippets import ROOT

DOCS = ROOT / "docs"
DECISIONS = sorted(DOCS.glob("decisions/[0-9]*.md"))


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_a_row(command: str) -> None:
    assert f"\n| `shmetrics {command}` | " in (DOCS / "cli.md").read_text()


def test_a_decision_has_its_number_a_date_and_a_row() -> None:
    index = (DOCS / "decisions/index.md").read_text()
    for number, page in enumerate(DECISIONS, 1):
        title, _, date, *_ = page.read_text().splitlines()
        assert page.name.startswith(f"{number:04}-")
        assert title.startswith(f"# {number}. ")
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date), page
        assert f"| [{number}]({page.name}) | {date} | " in index
