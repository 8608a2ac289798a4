# SPDX-License-Identifier: Apache-2.0
"""The commands that the spawner may run, whatever the gatherer asks for.

So a gatherer that was taken over by somebody gets no more than these. A command is allowed if the
spawner's own configuration has it, word for word and with its user; if it is a program below one of
the configured directories of units, alone or with the argument `metrics`; or if it lists, in a
directory below one of these, the files of a gear (listing.py). In all cases the file has to be
trusted (trusted_file.py), and root runs it only if that is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from shmetrics.probes.spawner import listing, trusted_file
from shmetrics.probes.spawner.accounts import Account, Accounts
from shmetrics.probes.spawner.protocol import VARIABLE, Run

ARGUMENT = "metrics"  # of a cartridge's bin/control
PATH = "/usr/local/bin:/usr/bin:/bin"

_VARIABLE = re.compile(VARIABLE)


class NotAllowed(Exception):
    """A command is not run; reason is one word, and the text one line for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Command(NamedTuple):
    """A command of the configuration, and the user who runs it."""

    uid: int
    words: tuple[str, ...]


class Permission:
    """The rules of one spawner."""

    def __init__(
        self,
        commands: Collection[Command],
        directories: Collection[str],
        allow_root: bool,
        own_uid: int,
    ) -> None:
        """Set the rules.

        Args:
            commands: the commands of the configuration.
            directories: absolute paths; programs of units are below them.
            allow_root: whether uid 0 may run anything.
            own_uid: the user of the spawner, who can be no other, unless it is root.
        """
        self._commands = frozenset(commands)
        self._directories = tuple(os.path.join(path, "") for path in directories)
        self._allow_root = allow_root
        self._own_uid = own_uid
        self._accounts = Accounts()

    def check(self, run: Run) -> Account:
        """Return who runs a command. Raises NotAllowed."""
        program = run.command[0]
        if run.uid == 0 and not self._allow_root:
            raise NotAllowed(
                "root", f"{program}: root runs no probe; name a user, or see spawner.allow_root"
            )
        if self._own_uid not in (0, run.uid):
            raise NotAllowed(
                "user",
                f"{program}: the spawner is uid {self._own_uid} and cannot become uid {run.uid}; "
                "only one that root started can",
            )
        if not self._is_known(run):
            raise NotAllowed(
                "command",
                f"{program}: this is no command of [[gather.probe]] in the spawner's own "
                "configuration, nor below one of spawner.directories",
            )
        for name in run.environment:
            if not _VARIABLE.fullmatch(name):
                raise NotAllowed(
                    "environment", f"{program}: the variable {name!r} is not one of OPENSHIFT_*"
                )
        try:
            file = trusted_file.check(program, run.uid)
        except trusted_file.Untrusted as error:
            raise NotAllowed("untrusted", str(error)) from None
        account = self._accounts.find(run.uid, file)
        if account is None:
            raise NotAllowed("user", f"{program}: there is no user {run.uid} on this node")
        return account

    def _is_known(self, run: Run) -> bool:
        if Command(run.uid, tuple(run.command)) in self._commands:
            return True
        if tuple(run.command) == listing.COMMAND:
            return self._is_of_a_unit(run.directory)
        program, arguments = run.command[0], run.command[1:]
        return arguments in ([], [ARGUMENT]) and self._is_of_a_unit(program)

    def _is_of_a_unit(self, path: str) -> bool:
        # A path with `..` in it can lead out of the directory that it begins with.
        return path.startswith(self._directories) and os.path.normpath(path) == path


def environment(account: Account, given: Mapping[str, str]) -> list[bytes]:
    """Return the whole environment of a program, as `NAME=value`."""
    variables = {
        "PATH": PATH,
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "LANG": "C.UTF-8",
        **given,
    }
    return [os.fsencode(f"{name}={value}") for name, value in variables.items()]
