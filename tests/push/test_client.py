# SPDX-License-Identifier: Apache-2.0
"""The way of a program to the gatherer: beside the collector, or where its service is."""

from __future__ import annotations

from pathlib import Path

import pytest

from shmetrics import runtime_dir
from shmetrics.push import client
from shmetrics.push.protocol import SOCKET_NAME


@pytest.mark.parametrize(
    ("there", "named", "wanted"),
    [
        ((), False, "collector"),
        (("collector",), False, "collector"),
        (("service",), False, "service"),
        (("collector", "service"), False, "collector"),
        (("service",), True, "collector"),
    ],
)
def test_the_place_of_its_socket(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: tuple[str, ...],
    named: bool,
    wanted: str,
) -> None:
    for place in ("collector", "service"):
        (tmp_path / place).mkdir()
        if place in there:
            (tmp_path / place / SOCKET_NAME).touch()
    monkeypatch.setattr(client, "SERVICE_DIRECTORY", str(tmp_path / "service"))
    monkeypatch.setattr(runtime_dir, "find", lambda: str(tmp_path / "collector"))
    monkeypatch.delenv(runtime_dir.VARIABLE, raising=False)
    if named:
        monkeypatch.setenv(runtime_dir.VARIABLE, str(tmp_path / "collector"))
    assert client.socket_path() == str(tmp_path / wanted / SOCKET_NAME)
