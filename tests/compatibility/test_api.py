# SPDX-License-Identifier: Apache-2.0
"""The public API is what is listed: it may grow, and may not go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compatibility import api


def test_the_api_is_the_listed_one() -> None:
    found, listed = set(api.now()), set(api.listed())
    assert not listed - found, "these are public, and missing or changed"
    assert not found - listed, "these are new: run `python -m tests.compatibility.api`"


def test_what_is_listed_is_not_taken_from_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [["a()", "b()"], ["a()", "b(c=)"], ["a()", "b()", "c()"]]
    monkeypatch.setattr(api, "LISTED", tmp_path / "api.txt")
    monkeypatch.setattr(api, "now", lambda: found.pop(0))
    assert api.main() == 0
    assert api.main() == 1
    assert "b()" in capsys.readouterr().err
    assert api.listed() == ["a()", "b()"]
    assert api.main() == 0
    assert api.listed() == ["a()", "b()", "c()"]
