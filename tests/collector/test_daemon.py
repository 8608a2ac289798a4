# SPDX-License-Identifier: Apache-2.0
"""The daemon's loop: what ends it, and what it says of that."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from shmetrics.collector.daemon import Daemon
from shmetrics.config import Config


def test_an_error_in_a_tick_ends_the_daemon_and_is_not_swallowed(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        config = Config(runtime_dir=str(runtime_dir), listen="127.0.0.1:0", tick_seconds=0.01)
        daemon = Daemon(config)

        def fail() -> None:
            raise RuntimeError("the tick failed")

        monkeypatch.setattr(daemon.collector, "tick", fail)
        try:
            await asyncio.wait_for(daemon.serve(lambda url: None), 30)
        finally:
            daemon.close()

    with pytest.raises(RuntimeError, match="the tick failed"):
        asyncio.run(run())


def test_too_many_open_files_pause_registrations_and_do_not_spin(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> int:
        config = Config(runtime_dir=str(runtime_dir), listen="127.0.0.1:0")
        daemon = Daemon(config)
        attempts = 0

        class Full:
            """A listening socket whose process has no descriptor left."""

            def __init__(self, real: object) -> None:
                self._real = real

            def accept(self) -> None:
                nonlocal attempts
                attempts += 1
                raise OSError(24, "Too many open files")

            def __getattr__(self, name: str) -> object:
                return getattr(self._real, name)

        registration = daemon._registration
        monkeypatch.setattr(registration, "_socket", Full(registration._socket))
        asyncio.get_running_loop().remove_reader(registration._socket.fileno())
        registration.start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(runtime_dir / "register.sock"))
            for _ in range(50):
                await asyncio.sleep(0)
        daemon.close()
        return attempts

    assert asyncio.run(run()) == 1
