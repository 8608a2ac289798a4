# SPDX-License-Identifier: Apache-2.0
"""The processes around the collector, each of which has to end as it is meant to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.nodes.node import ROOT
from tests.verify.soak import remains
from tests.verify.soak.account import Account, Wrong
from tests.verify.soak.audit import Audit
from tests.verify.soak.book import Book


class Member:
    """A process, and the accounts that end with it: its own first, if it emits."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], folder: Path) -> None:
        self.name = name
        self.accounts: list[Account] = []
        self.doomed = False
        self._errors = folder / f"{name}.err"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", *command],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

    def is_gone(self) -> bool:
        """Raises Wrong if it did not end as it was meant to."""
        status = self.process.poll()
        if status is None:
            return False
        said = self._errors.read_text(errors="replace")
        if status != (-signal.SIGKILL if self.doomed else 0) or said:
            raise Wrong(f"{self.name} (pid {self.process.pid}) ended with status {status}: {said}")
        self._errors.unlink()
        return True

    def abandon(self) -> None:
        """For the end, whatever came: it and its children."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Crew:
    """All of them. Every process that emits gets a book and an account."""

    def __init__(self, runtime_dir: Path, folder: Path, audit: Audit, seed: str) -> None:
        self._runtime_dir = runtime_dir
        self._folder = folder
        self._graves = folder / "graves"
        self._audit = audit
        self._seed = seed
        self._env = os.environ | {
            "PYTHONPATH": str(ROOT),
            "SHMETRICS_RUNTIME_DIR": str(runtime_dir),
        }
        self._started = 0
        self.members: list[Member] = []

    def emitter(self, topic: str, pause_seconds: float) -> Member:
        name = self._name("emitter")
        account = self._account(name, topic)
        command = [str(account.path), topic, f"{self._seed}/{name}", str(pause_seconds)]
        return self._start(name, ["tests.verify.soak.emitter", *command], [account])

    def storm(self, topic: str, children: int) -> Member:
        name = self._name("storm")
        accounts = [self._account(f"{name}-{n}", topic) for n in range(children + 1)]
        first, *others = (str(account.path) for account in accounts)
        command = [first, topic, f"{self._seed}/{name}", str(self._runtime_dir), str(self._graves)]
        return self._start(name, ["tests.verify.soak.storm", *command, *others], accounts)

    def daemon(self, topic: str) -> Member:
        name = self._name("daemon")
        accounts = [self._account(f"{name}-{n}", topic) for n in range(2)]
        first, other = (str(account.path) for account in accounts)
        command = [first, topic, f"{self._seed}/{name}", other]
        return self._start(name, ["tests.verify.soak.daemon", *command], accounts)

    def intruder(self, kind: str) -> Member:
        name = self._name(kind)
        command = [kind, f"{self._seed}/{name}", str(self._runtime_dir)]
        return self._start(name, ["tests.verify.soak.intruder", *command], [])

    def _name(self, what: str) -> str:
        self._started += 1
        return f"{what}-{self._started}"

    def _account(self, name: str, topic: str) -> Account:
        account = Account(Book.make(self._folder / name), topic)
        self._audit.add(account)
        return account

    def _start(self, name: str, command: list[str], accounts: list[Account]) -> Member:
        member = Member(name, command, self._env, self._folder)
        member.accounts = accounts
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        """Ends an emitter as nobody can foresee."""
        [account] = member.accounts
        if member.is_gone():
            raise Wrong(f"{member.name} is gone before it was killed")
        account.condemn()
        member.doomed = True
        remains.kill(member.process.pid, self._runtime_dir / "lanes", self._graves, account.name)
        member.process.wait()

    def end(self, member: Member) -> None:
        """Tells an emitter to end."""
        member.process.terminate()

    def reap(self) -> None:
        """Forgets who is gone, and settles the accounts. Raises Wrong."""
        for member in [one for one in self.members if one.is_gone()]:
            self.members.remove(member)
            self._audit.gone.update(account.name for account in member.accounts)
        self._audit.settle()

    def abandon(self) -> None:
        for member in self.members:
            member.abandon()
