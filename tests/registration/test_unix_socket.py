# SPDX-License-Identifier: Apache-2.0
"""A socket's file, at every moment from its birth on."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from shmetrics import unix_socket
from shmetrics.unix_socket import Access


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_nobody_can_write_to_a_socket_before_it_has_its_group(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sock"
    born: list[int] = []

    def give(name: str, group: int) -> None:
        born.append(stat.S_IMODE(os.stat(name).st_mode))

    monkeypatch.setattr(unix_socket, "give_to_group", give)
    before = os.umask(umask)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            unix_socket.bind(sock, str(path), Access(0o662, 7))
        assert os.umask(umask) == umask  # as it was
    finally:
        os.umask(before)
    assert born == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o662
    path.unlink()
