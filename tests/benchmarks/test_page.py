# SPDX-License-Identifier: Apache-2.0
"""The figures in documents: those of the reference run, and no others."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import page, summary
from benchmarks.groups import GROUPS
from benchmarks.summary import Figures, Part, Row, Summary

BY_NAME = {"machine", "headline", "targets", "others"}


@pytest.fixture(scope="module")
def reference() -> Summary:
    return summary.read(page.REFERENCE)


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_a_document_is_as_the_reference_makes_it(path: Path, reference: Summary) -> None:
    text = path.read_text()
    assert page.MARKED.search(text)
    assert page.filled(text, reference) == text


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_a_place_for_figures_names_what_there_is(path: Path) -> None:
    named = {marked["what"] for marked in page.MARKED.finditer(path.read_text())}
    assert named <= BY_NAME | set(GROUPS)


@pytest.mark.parametrize("names", [row[1:3] for row in page.HEADLINE], ids="-".join)
def test_a_headline_is_of_contenders_that_there_are(names: tuple[str, str]) -> None:
    for name in names:
        group, _, key = name.partition("/")
        assert key in {contender.key for contender in GROUPS[group].contenders}


def test_every_picture_is_of_the_reference(reference: Summary) -> None:
    from benchmarks import plots  # only here: all that collect tests would load what draws

    pictures = {path.stem: path.read_text() for path in page.PICTURES.glob("*.svg")}
    assert {"event", "hook", "scrape", "spill"} <= pictures.keys() <= plots.PLOTS.keys()
    assert [
        name for name, drawn in pictures.items() if f"of {reference.measured}<" not in drawn
    ] == []


def part(key: str, *titles: str) -> Part:
    found = Figures(2e-9, 1e-9, 3e-9, 1e-9, 30)
    rows = tuple(Row(title, title, found) for title in titles)
    return Part(key, f"Title of {key}", f"Note of {key}.", "second", titles[0], "floor", rows)


FOUND = Summary("now", "A machine.", False, (part("placed", "a", "b"), part("new", "c")))


def test_a_group_without_a_place_is_among_the_others() -> None:
    text = "".join(
        f"<!-- figures: {what} -->\nold\n<!-- end -->\n" for what in ("placed", "others")
    )
    first, _, rest = page.filled(text, FOUND).partition("<!-- end -->")
    assert "old" not in first + rest
    assert "Note of placed." in first
    assert "### Title of new\n\nNote of new." in rest
    assert "placed" not in rest


def test_what_was_not_measured_is_said() -> None:
    text = "<!-- figures: gone -->\n<!-- end -->"
    assert page.filled(text, FOUND) == (
        "<!-- figures: gone -->\nNot measured in the reference run.\n<!-- end -->"
    )


def test_the_newest_full_run_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "RESULTS", tmp_path)
    full = replace(FOUND, parts=tuple(part(key, "a") for key in GROUPS))
    with pytest.raises(ValueError, match="no full run"):
        page.newest()
    for name, run in {"full": full, "quick": replace(full, quick=True), "some": FOUND}.items():
        summary.write(run, tmp_path / f"{name}.summary.json")
    assert page.newest() == tmp_path / "full.summary.json"


def test_pictures_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Check pictures of processes of their own: the library keeps its fonts open."""
    spill = replace(part("spill", "1000", "10000", "tick-1000"), unit="share")
    found = replace(
        FOUND, parts=(part("inc", "shmetrics", "other"), part("series", "1", "10"), spill)
    )
    summary.write(found, tmp_path / "s.json")
    drawn = []
    for turn in ("one", "other"):
        folder = tmp_path / turn
        folder.mkdir()
        command = [sys.executable, "-m", "benchmarks.plots", str(tmp_path / "s.json"), str(folder)]
        subprocess.run(command, cwd=page.ROOT, check=True)
        drawn.append({path.name: path.read_text() for path in folder.iterdir()})
    assert drawn[0] == drawn[1]
    assert drawn[0].keys() == {"event.svg", "series.svg", "spill.svg"}
    assert "shmetrics" in drawn[0]["event.svg"]
    assert "2.00 ns" in drawn[0]["event.svg"]
