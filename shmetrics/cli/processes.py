# SPDX-License-Identifier: Apache-2.0
"""Child processes that a command starts, and ends when it ends itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from shmetrics.errors import ShmetricsError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
READY = "ready"  # a process prints a line with this word once it can be used


class Processes:
    """Named processes, each with a log in one directory, which is also their runtime directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m MODULE ARGUMENTS`, and wait until it is ready.

        The terminal's Ctrl-C does not reach the process; close() ends it.

        Raises:
            ShmetricsError: a process ends, or this one takes longer than START_SECONDS.
        """
        environment = os.environ | {
            "SHMETRICS_RUNTIME_DIR": self._directory,
            "SHMETRICS_PROCESS": f"demo-{name}",
            "PYTHONWARNINGS": "ignore",  # eventlet, which oslo imports, warns about itself
        }
        with open(self._path(name), "wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while READY not in self._log_text(name):
            self.check()
            if time.monotonic() > deadline:
                raise ShmetricsError(
                    f"the demo's {name} is not ready after {START_SECONDS:.0f} seconds: "
                    f"{self._last_line(name)}"
                )
            time.sleep(0.05)

    def check(self) -> None:
        """Raise ShmetricsError with the last line of a process's log, if one has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise ShmetricsError(f"the demo's {name} ended: {self._last_line(name)}")

    def close(self) -> None:
        """Stop the processes, the last one first, so that the collector drains all of them."""
        for process in reversed(self._running.values()):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, f"{name}.log")

    def _log_text(self, name: str) -> str:
        with open(self._path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def _last_line(self, name: str) -> str:
        line = self._log_text(name).strip().rpartition("\n")[2] or "it said nothing"
        return line.removeprefix("shmetrics: ")
