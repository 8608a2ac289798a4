# SPDX-License-Identifier: Apache-2.0
"""A spawner in a process of its own, and a gatherer that asks it one thing after another."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from shmetrics.probes.spawner import protocol, run_cgroups
from tests.servers.patience import until

NOBODY = 65534
SECONDS = 60  # of patience

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def has_run_cgroups() -> bool:
    """Tell whether this kernel and this user can have cgroups for runs."""
    parent = run_cgroups.own_cgroup()
    return (
        parent is not None
        and os.access(parent, os.W_OK)
        and any(Path(parent).glob("*/cgroup.kill"))
    ) or _makes_one(parent)


def _makes_one(parent: str | None) -> bool:
    if parent is None or not os.access(parent, os.W_OK):
        return False
    folder = tempfile.mkdtemp(prefix="shmetrics-test-", dir=parent)
    try:
        return os.path.exists(f"{folder}/cgroup.kill")
    finally:
        os.rmdir(folder)


class Seen(NamedTuple):
    """The outcome of one command."""

    answer: protocol.Answer
    output: str
    errors: str

    @property
    def ended(self) -> protocol.Ended:
        assert isinstance(self.answer, protocol.Ended), self.answer
        return self.answer

    @property
    def refused(self) -> protocol.Refused:
        assert isinstance(self.answer, protocol.Refused), self.answer
        return self.answer


class Asker:
    """The gatherer of a test."""

    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self.socket = sock
        self.process = process
        self.socket.settimeout(SECONDS)
        self._last = 0
        self._pipes: list[int] = []

    def close(self) -> None:
        """Close the connection, and the ends of all pipes."""
        self.socket.close()
        for fd in self._pipes:
            os.close(fd)

    @property
    def worker(self) -> int:
        """Return the pid of the spawner itself, the child of its guardian."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        until(lambda: path.read_text(), lambda: "no spawner yet", SECONDS)
        return int(path.read_text().split()[0])

    def ask(
        self,
        command: Sequence[str],
        uid: int = NOBODY,
        timeout_seconds: float = SECONDS,
        environment: Mapping[str, str] | None = None,
        directory: str = "/",
    ) -> tuple[int, int, int]:
        """Ask for a run; return its number, and the ends of its pipes for reading."""
        self._last += 1
        output, its_output = os.pipe()
        errors, its_errors = os.pipe()
        os.fchmod(its_output, 0o622)
        wish = protocol.Run(
            id=self._last,
            uid=uid,
            command=list(command),
            directory=directory,
            environment=dict(environment or {}),
            timeout_seconds=timeout_seconds,
        )
        socket.send_fds(self.socket, [protocol.encode(wish)], [its_output, its_errors])
        os.close(its_output)
        os.close(its_errors)
        self._pipes += (output, errors)
        return self._last, output, errors

    def answer(self) -> protocol.Answer:
        return protocol.decode_answer(self.socket.recv(protocol.MESSAGE_MAX_BYTES))

    def run(
        self,
        command: Sequence[str],
        uid: int = NOBODY,
        timeout_seconds: float = SECONDS,
        environment: Mapping[str, str] | None = None,
        directory: str = "/",
    ) -> Seen:
        """Run a command to its end. What it printed is at most what a pipe holds."""
        _, output, errors = self.ask(command, uid, timeout_seconds, environment, directory)
        answer = self.answer()
        texts = []
        for fd in (output, errors):
            os.set_blocking(fd, False)
            try:
                texts.append(os.read(fd, 65536).decode())
            except BlockingIOError:
                texts.append("")
        return Seen(answer, *texts)


@contextmanager
def spawner(config: str, folder: Path, wrapper: Sequence[str] = ()) -> Iterator[Asker]:
    """Start a spawner of this process, as a gatherer does; see it end with the connection.

    wrapper: a command that runs the one behind it.
    """
    path = folder / "gather.toml"
    path.write_text(config)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [*wrapper, sys.executable, "-m", "shmetrics", "spawner", "--config", str(path)]
    with ours, its:
        process = subprocess.Popen(
            [*command, "--fd", str(its.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
        its.close()
        asker = Asker(ours, process)
        try:
            yield asker
        finally:
            asker.close()
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(*pids: int) -> None:
    """Wait until processes are gone; end those that are not, and fail."""
    try:
        until(
            lambda: not any(map(is_running, pids)),
            lambda: f"{[pid for pid in pids if is_running(pid)]} live on",
            SECONDS,
        )
    finally:
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)


def numbers_in(path: Path, count: int) -> list[int]:
    """Wait until a file has some numbers, a line each, and return them."""

    def lines() -> list[str]:
        return path.read_text().split() if path.exists() else []

    until(lambda: len(lines()) >= count, lines, SECONDS)
    return [int(line) for line in lines()]
