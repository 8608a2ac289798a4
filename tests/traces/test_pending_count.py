# SPDX-License-Identifier: Apache-2.0
"""The number that outlives a kill."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from shmetrics.traces.pending_count import PendingCount


def test_what_was_pending_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "pending"
    killed = PendingCount(path)
    killed.note(9)
    killed.note(7)
    after = PendingCount(path)
    assert (killed.left_behind, after.left_behind) == (0, 7)
    after.close()
    after.close()
    assert not path.exists()
    killed.close()


@pytest.mark.parametrize("said", [b"", b"\x07\0\0\0\0\0\0"])
def test_half_a_number_is_none(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "pending"
    path.write_bytes(said)
    found = PendingCount(path)
    assert found.left_behind == 0
    found.close()


def test_what_cannot_be_noted_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = PendingCount(tmp_path / "pending")
    monkeypatch.setattr(os, "pwrite", full)
    with caplog.at_level(logging.WARNING):
        found.note(1)
        found.note(2)
    (line,) = caplog.messages
    assert str(found.path) in line
    assert "No space left on device" in line
    found.close()


def test_where_there_can_be_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "absent" / "pending", tmp_path / "link"):
        with pytest.raises(OSError, match=r"No such file|symbolic links"):
            PendingCount(path)
    assert not (tmp_path / "elsewhere").exists()
