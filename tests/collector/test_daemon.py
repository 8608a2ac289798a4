# SPDX-License-Identifier: Apache-2.0
"""The daemon's loop: what ends it, and what it says of that."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from shmetrics import service_manager
from shmetrics.collector.daemon import Daemon
from shmetrics.config import Config
from shmetrics.service_manager import notify


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


@pytest.mark.parametrize("prefix", ["", "@"])
def test_a_service_manager_is_told(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """Check the addresses of sd_notify(3): a path, or with @ a name in the abstract namespace."""
    path = str(runtime_dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + path if prefix else path)
        monkeypatch.setenv("NOTIFY_SOCKET", prefix + path)
        notify("READY=1")
        ear.settimeout(10)
        assert ear.recv(100) == b"READY=1"


def test_a_service_manager_that_is_gone_is_no_error(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(runtime_dir / "nobody"))
    notify("READY=1")
    assert "No such file or directory" in caplog.text


def told(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, ticks: int) -> list[str]:
    """Return a daemon's messages to the service manager, until it ends at its ticks-th tick."""
    path = str(runtime_dir / "notify")
    heard = []

    async def run() -> None:
        config = Config(runtime_dir=str(runtime_dir), listen="127.0.0.1:0", tick_seconds=60)
        daemon = Daemon(config)
        left = ticks
        tick = daemon.collector.tick

        def count() -> None:
            nonlocal left
            left -= 1
            tick()
            if left == 0:
                raise RuntimeError("enough")

        monkeypatch.setattr(daemon.collector, "tick", count)
        try:
            with pytest.raises(RuntimeError, match="enough"):
                await asyncio.wait_for(daemon.serve(lambda url: notify("READY=1")), 30)
        finally:
            daemon.close()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ear:
        ear.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        asyncio.run(run())
        while True:
            try:
                heard.append(ear.recv(100).decode())
            except BlockingIOError:
                return heard


def test_a_watchdog_is_fed_by_ticks_alone(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that ticks come as often as the watchdog needs them, although fewer are configured."""
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert told(runtime_dir, monkeypatch, 3) == [
        "READY=1",
        "WATCHDOG=1",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "often"}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}],
)
def test_who_has_no_watchdog_feeds_none(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert service_manager.beat_seconds() is None
