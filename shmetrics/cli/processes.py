# SPDX-License-Identifier: Apache-2.0
"""Processes that a command starts, and takes with it when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from shmetrics.errors import ShmetricsError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
READY = "ready"  # the word in what a process prints once it can be used


class Processes:
    """Named processes, each with a log in the directory, which is their runtime directory too."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Starts `python -m MODULE ARGUMENTS`, and returns when it says that it is ready.

        Raises ShmetricsError if it ends instead, or takes too long. The terminal's Ctrl-C does not
        reach it: it ends with close().
        """
        environment = os.environ | {
            "SHMETRICS_RUNTIME_DIR": self._directory,
            "SHMETRICS_PROCESS": f"demo-{name}",
            "PYTHONWARNINGS": "ignore",  # eventlet's, about itself, within oslo
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
        while READY not in self._said(name):
            self.check()
            if time.monotonic() > deadline:
                raise ShmetricsError(
                    f"the demo's {name} is not ready after {START_SECONDS:.0f} seconds: "
                    f"{self._last_line(name)}"
                )
            time.sleep(0.05)

    def check(self) -> None:
        """Raises ShmetricsError with what a process said last, if it has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise ShmetricsError(f"the demo's {name} ended: {self._last_line(name)}")

    def close(self) -> None:
        """Stops them, the last one first, so that the collector sees all of it."""
        for process in reversed(self._running.values()):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, f"{name}.log")

    def _said(self, name: str) -> str:
        with open(self._path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def _last_line(self, name: str) -> str:
        line = self._said(name).strip().rpartition("\n")[2] or "it said nothing"
        return line.removeprefix("shmetrics: ")
