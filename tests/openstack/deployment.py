# SPDX-License-Identifier: Apache-2.0
"""The processes of a real service: each with a log of its own, all in one folder."""

from __future__ import annotations

import configparser
import io
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.openstack.environments import Environment
from tests.servers.patience import until
from tests.servers.processes import ServerProcess

__all__ = ["NOTHING", "Deployment", "Sections", "ini"]

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
START_SECONDS = 120
RUN_SECONDS = 300

#: A configuration file: its options, by section.
Sections = Mapping[str, Mapping[str, object]]


def ini(*files: Sections) -> str:
    """Return the text of a configuration file. Of an option that comes twice, the last counts."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    for sections in files:
        parser.read_dict({name: dict(options) for name, options in sections.items()})
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


class Deployment:
    """The processes of one service, in *folder*. variables: of the environment of each process."""

    def __init__(
        self, environment: Environment, folder: Path, variables: Mapping[str, str]
    ) -> None:
        self.environment = environment
        self.folder = folder
        self._variables = {**os.environ, **variables}
        self._processes: dict[str, ServerProcess] = {}

    def write(self, name: str, *files: Sections) -> Path:
        """Write a configuration file, and return its path."""
        path = self.folder / name
        path.write_text(ini(*files))
        return path

    def run(self, program: str, *arguments: object) -> str:
        """Run a program of the environment to its end, and return its output."""
        ran = subprocess.run(
            [self.environment.program(program), *map(str, arguments)],
            env=self._variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
        assert ran.returncode == 0, f"{program} {arguments}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def start(
        self,
        name: str,
        is_ready: Callable[[str], bool],
        program: str,
        *arguments: object,
        environment: Environment | None = None,
        variables: Mapping[str, str] = NOTHING,
    ) -> ServerProcess:
        """Start a program of the environment, which runs until stop().

        Args:
            name: what it is called here, as a process's label, and its log.
            is_ready: tells, from its log, whether it has started.
            program: the program.
            *arguments: its arguments.
            environment: another one that has the program.
            variables: more of its environment's.
        """
        log = self.folder / f"{name}.log"
        process = ServerProcess(
            [(environment or self.environment).program(program), *map(str, arguments)],
            log,
            {**self._variables, "SHMETRICS_PROCESS": name, **variables},
        )
        self._processes[name] = process
        process.ready_when(lambda: is_ready(log.read_text(errors="replace")), START_SECONDS)
        return process

    def start_wsgi(self, name: str, module: str, port: int, *options: object) -> ServerProcess:
        """Start uWSGI with the `application` of a module, as installations have it."""
        return self.start(
            name, lambda log: "WSGI app 0" in log,
            "uwsgi", "--http-socket", f"127.0.0.1:{port}", "--module", module, "--need-app",
            # What is where we are, as this checkout is, must not be imported.
            "--chdir", self.folder, "--master", "--die-on-term", "--enable-threads",
            "--single-interpreter", "--add-header", "Connection: close",
            "--post-buffering", "8192", *options,
        )  # fmt: skip

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def workers(self, name: str) -> list[int]:
        """Return the pids of the processes that it has forked."""
        return _children_of(self.pid(name))

    def processes(self, name: str) -> list[int]:
        """Return its pid, and those of all that it has forked and that these have."""
        found = [self.pid(name)]
        for pid in found:  # also those that come to it here
            found += _children_of(pid)
        return found

    def masters(self) -> set[int]:
        """Return the pids of all processes that have forked others."""
        return {
            pid for name in self._processes for pid in self.processes(name) if _children_of(pid)
        }

    def replace_workers(self, name: str, signals: Callable[[list[int]], None]) -> None:
        """Have its workers end by *signals*, which gets their pids, and wait for their successors.

        What is asked of a worker while it ends may be lost, with us or without.
        """
        before = self.workers(name)
        assert before, f"{name} has no workers"
        signals(before)

        def are_there() -> bool:
            now = self.workers(name)
            return len(now) == len(before) and not set(now) & set(before)

        until(are_there, lambda: (before, self.workers(name)), START_SECONDS)

    def kill_workers(self, name: str) -> None:
        """Kill its workers, and wait for their successors."""

        def kill(pids: list[int]) -> None:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

        self.replace_workers(name, kill)

    def reload(self, name: str) -> None:
        """Have it read its files anew, by SIGHUP, and wait for new workers."""
        self.replace_workers(name, lambda pids: self.signal(name, signal.SIGHUP))

    @contextmanager
    def halted(self, name: str) -> Iterator[None]:
        """Stop it and all that it has forked by SIGSTOP, until the block ends."""
        pids = self.processes(name)
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def stop(self, *names: str) -> dict[str, int]:
        """Stop these processes, or all, the newest first; return the exit status of each."""
        wanted = names or tuple(reversed(self._processes))
        return {name: self._processes.pop(name).stop(60) for name in wanted}

    def logs(self) -> dict[str, str]:
        """Return what each process has said."""
        return {log.stem: log.read_text(errors="replace") for log in self.folder.glob("*.log")}


def _children_of(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [(thread / "children").read_text().split() for thread in threads]
    return [int(child) for each in children for child in each]
