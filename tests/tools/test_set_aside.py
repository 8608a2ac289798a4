# SPDX-License-Identifier: Apache-2.0
"""Files that are kept out of the way."""

from __future__ import annotations

from pathlib import Path

from shmetrics.set_aside import set_aside


def test_those_of_one_second_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "store"
    kept = []
    for text in ("one", "two", "three"):
        path.write_text(text)
        kept.append(set_aside(path))
    assert [aside.read_text() for aside in kept] == ["one", "two", "three"]
    assert not path.exists()


def test_an_ending_is_replaced_and_what_is_beside_goes_along(tmp_path: Path) -> None:
    path, journal = tmp_path / "traces.db", tmp_path / "traces.db-journal"
    for text in ("old", "new"):
        path.write_text(text)
        if text == "old":
            journal.write_text(text)
        assert set_aside(path, "damaged", ("-journal", "-wal")) == tmp_path / "traces.db.damaged"
    assert [file.name for file in tmp_path.iterdir()] == ["traces.db.damaged"]
    assert (tmp_path / "traces.db.damaged").read_text() == "new"
