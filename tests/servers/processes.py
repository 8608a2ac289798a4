# SPDX-License-Identifier: Apache-2.0
"""A server process of ours: started in a session of its own, stopped by its pid, verified gone."""

import os
import signal
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.servers import nursery
from tests.servers.nursery import Child
from tests.servers.patience import until

__all__ = ["Forked", "ServerProcess", "fork", "until"]


def fork() -> int:
    """Fork this process; the child's pid, and 0 in the child."""
    with warnings.catch_warnings():  # eventlet, if any test has imported it, warns of every fork
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


class ServerProcess:
    """*command*, running, with what it prints in the file *log*."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None):
        self._log = log
        self._name = Path(command[0]).name
        self._told = False
        self._process = self._started(command, log, env)

    @staticmethod
    def _started(
        command: Sequence[str], log: Path, env: Mapping[str, str] | None
    ) -> "subprocess.Popen[bytes] | Child":
        with log.open("wb") as output:
            return subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready_when(self, answers: Callable[[], bool], seconds: float) -> None:
        """Wait until it *answers*. If it does not, it is stopped, and the end of its log shown."""

        def answers_or_is_gone() -> bool:
            return self._process.poll() is not None or answers()

        try:
            until(answers_or_is_gone, lambda: "no answer", seconds)
            if self._process.poll() is not None:
                raise AssertionError(f"ended with status {self._process.returncode}")
        except AssertionError as error:
            self.stop()
            tail = self._log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self._name} did not start: {error}\n{tail}") from None

    def terminate(self) -> None:
        """Tell it to stop, once, and do not wait."""
        # Told again while it is ending, a Python process has no handler any more, and is killed.
        if not self._told and self._process.poll() is None:
            self._told = True
            self._process.terminate()

    def stop(self, seconds: float = 20) -> int:
        """Stop it, and whatever it started in its session; return its exit status."""
        self.terminate()
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for pid in self._session():  # helpers that a server should have taken with it
            os.kill(pid, signal.SIGKILL)
        until(lambda: not self._session(), lambda: f"{self._name}: {self._session()} live on", 10)
        return status

    def _session(self) -> list[int]:
        """Return the pids of its session that are not zombies waiting for somebody else."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat") as stat:
                        state, _parent, _group, session = stat.read().rpartition(")")[2].split()[:4]
                except OSError:
                    continue  # gone since it was listed
                if int(session) == self.pid and state not in "ZX":
                    found.append(int(entry))
        return found


class Forked(ServerProcess):
    """A `shmetrics` that is forked from one that has imported everything. A start without that has
    tests of its own."""

    @staticmethod
    def _started(command: Sequence[str], log: Path, env: Mapping[str, str] | None) -> Child:
        log.write_bytes(b"")  # it may be read before there is anything in it
        return nursery.fork(command[1:], log, os.environ if env is None else env)
