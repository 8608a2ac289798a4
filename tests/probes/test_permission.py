# SPDX-License-Identifier: Apache-2.0
"""Promise: whatever a gatherer asks for, the spawner runs only what its configuration allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shmetrics.probes.spawner import listing
from shmetrics.probes.spawner.accounts import Accounts
from shmetrics.probes.spawner.permission import Command, NotAllowed, Permission, environment
from shmetrics.probes.spawner.protocol import Run
from tests.probes.asking import NOBODY, as_root

OTHER = 4711
COMMANDS = [Command(NOBODY, ("/bin/sh", "-c", "true"))]


def wish(command: list[str], uid: int = NOBODY, variables: dict[str, str] | None = None) -> Run:
    return Run(1, uid, command, "/", variables or {}, 1.0)


def refusal(permission: Permission, run: Run) -> NotAllowed:
    with pytest.raises(NotAllowed) as caught:
        permission.check(run)
    return caught.value


def test_a_configured_command_runs_word_for_word() -> None:
    permission = Permission(COMMANDS, [], False, 0)
    assert permission.check(wish(["/bin/sh", "-c", "true"])).uid == NOBODY
    for other in (
        wish(["/bin/sh", "-c", "false"]),
        wish(["/bin/sh", "-c"]),
        wish(["/bin/sh", "-c", "true", "x"]),
        wish(["/bin/sh", "-c", "true"], uid=1),
        wish(["/bin/sh"]),
    ):
        assert refusal(permission, other).reason == "command"


def test_the_files_of_a_gear_are_listed_in_its_directory_only() -> None:
    permission = Permission([], ["/srv/gears"], False, 0)
    words = list(listing.COMMAND)
    for directory in ("/srv/gears/5502", "/srv/gears/5502/x"):
        run = Run(1, NOBODY, words, directory, {}, 1.0)
        assert permission.check(run).uid == NOBODY
    for directory in ("/", "/srv/gears", "/srv/gears/../other", "/srv/gearsx/1"):
        run = Run(1, NOBODY, words, directory, {}, 1.0)
        assert refusal(permission, run).reason == "command"
    in_gear = Run(1, NOBODY, [*words, "x"], "/srv/gears/5502", {}, 1.0)
    assert refusal(permission, in_gear).reason == "command"
    as_root = Run(1, 0, words, "/srv/gears/5502", {}, 1.0)
    assert refusal(permission, as_root).reason == "root"


@as_root
def test_a_program_of_a_unit_runs_alone_or_with_one_word(folder: Path) -> None:
    program = folder / "gears" / "control"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    os.chown(program, NOBODY, NOBODY)
    permission = Permission([], [str(folder / "gears")], False, 0)
    assert permission.check(wish([str(program)])).uid == NOBODY
    assert permission.check(wish([str(program), "metrics"])).uid == NOBODY
    assert refusal(permission, wish([str(program), "stop"])).reason == "command"
    out = [f"{folder}/gears/../gears/control"]
    assert refusal(permission, wish(out)).reason == "command"
    assert refusal(permission, wish([f"{folder}/gearsx/control"])).reason == "command"
    program.chmod(0o777)
    untrusted = refusal(permission, wish([str(program)]))
    assert untrusted.reason == "untrusted"
    assert str(untrusted) == f"{program}: others may write to it; chmod go-w {program}"


def test_root_runs_nothing_by_itself() -> None:
    command = Command(0, ("/bin/sh",))
    run = wish(["/bin/sh"], uid=0)
    assert refusal(Permission([command], [], False, 0), run).reason == "root"
    assert Permission([command], [], True, 0).check(run).uid == 0


def test_a_spawner_that_is_not_root_is_only_itself() -> None:
    permission = Permission([*COMMANDS, Command(1, ("/bin/sh",))], [], False, NOBODY)
    assert permission.check(wish(["/bin/sh", "-c", "true"])).uid == NOBODY
    refused = refusal(permission, wish(["/bin/sh"], uid=1))
    assert refused.reason == "user"
    assert "the spawner is uid 65534 and cannot become uid 1" in str(refused)


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "OPENSHIFT_x", "OPENSHIFT_", "", "A=B"])
def test_other_variables_are_refused(name: str) -> None:
    permission = Permission(COMMANDS, [], False, 0)
    run = wish(["/bin/sh", "-c", "true"], variables={name: "1"})
    assert refusal(permission, run).reason == "environment"


def test_a_user_without_an_entry_has_the_group_of_its_file(folder: Path) -> None:
    own = os.stat(folder)
    found = Accounts().find(OTHER, os.stat("/bin/sh"))
    assert found is None
    mine = os.stat_result((*own[:4], OTHER, 4712, *own[6:]))
    found = Accounts().find(OTHER, mine)
    assert found is not None
    assert (found.gid, found.groups, found.name, found.home) == (4712, (4712,), "4711", "/")


def test_a_user_is_remembered_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    looks: list[int] = []

    def look(uid: int) -> None:
        looks.append(uid)
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", look)
    accounts = Accounts(lambda: now)
    file = os.stat("/bin/sh")
    for _ in range(3):
        assert accounts.find(OTHER, file) is None
    assert looks == [OTHER]
    now = 60.0
    accounts.find(OTHER, file)
    assert looks == [OTHER, OTHER]


def test_the_environment_is_made_anew() -> None:
    account = Accounts().find(0, os.stat("/"))
    assert account is not None
    found = environment(account, {"OPENSHIFT_X": "ü=1"})
    assert b"USER=root" in found
    assert "OPENSHIFT_X=ü=1".encode() in found
    assert not any(each.startswith(b"PYTHON") for each in found)
