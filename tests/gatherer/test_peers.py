# SPDX-License-Identifier: Apache-2.0
"""Whose lines they are: what the kernel says of a process, and never what it says itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shmetrics.gatherer.owners import Owners
from shmetrics.gatherer.peers import owner_of
from shmetrics.lines.line import Refused
from shmetrics.lines.owner import Owner
from shmetrics.registration.peer import Peer
from shmetrics.units.unit import Unit
from tests.probes.gears import Gear

WEB = Unit("systemd", "web.service", "/system.slice/web.service")
SLICE = Unit("systemd", "system.slice", "/system.slice")
POD = Unit("pod", "01-23", "/kubepods/pod01-23")
UNITS = {unit.id: unit for unit in (WEB, SLICE, POD)}
PEER = Peer(7, 1000, 1000)


def found(tmp_path: Path, cgroups: str, claimed: str = "") -> Owner:
    process = tmp_path / str(PEER.pid)
    process.mkdir(exist_ok=True)
    (process / "cgroup").write_text(cgroups)
    return owner_of(PEER, claimed, UNITS, lambda unit: Owner(unit.name, unit.kind), tmp_path)


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        ("0::/system.slice/web.service\n", WEB),
        ("0::/system.slice/web.service/app/worker\n", WEB),
        ("4:memory:/system.slice/web.service\n0::/\n", WEB),
        ("4:memory:/system.slice/db.service\n0::/\n", SLICE),
        ("4:memory:/system.slice\n1:name=systemd:/system.slice/web.service\n", WEB),
        ("0::/kubepods/pod01-23/abc\n", POD),
        ("0::/kubepods/pod01-23:x\n", None),
        ("0::/\n", None),
        ("", None),
        ("\udcff\n:::\n", None),
    ],
)
def test_the_innermost_unit(tmp_path: Path, cgroups: str, unit: Unit | None) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(cgroups, errors="surrogateescape")
    wanted = Owner(unit.name, unit.kind) if unit else Owner("uid-1000", "program")
    known = owner_of(PEER, "", UNITS, lambda unit: Owner(unit.name, unit.kind), tmp_path)
    assert known == wanted


def test_a_unit_may_name_itself_and_nobody_else(tmp_path: Path) -> None:
    inside = "0::/system.slice/web.service\n"
    assert found(tmp_path, inside, "web.service") == Owner("web.service", "systemd")
    with pytest.raises(Refused, match=r"is in web\.service, not in 01-23") as refused:
        found(tmp_path, inside, "01-23")
    assert refused.value.reason == "forged"


def test_a_program_in_no_unit_names_itself_and_is_no_unit_of_that_name(tmp_path: Path) -> None:
    assert found(tmp_path, "0::/\n", "web.service") == Owner("web.service", "program")


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_a_process_that_is_not_seen_is_refused(pid: int) -> None:
    with pytest.raises(Refused) as refused:
        owner_of(Peer(pid, 0, 0), "", UNITS, lambda unit: Owner(unit.name, unit.kind))
    assert refused.value.reason == "unknown_peer"


def test_what_a_gear_says_of_itself_is_read_once_in_each_life(tmp_path: Path) -> None:
    gear = Gear(tmp_path, "5502", os.geteuid())
    owners = Owners({"appName": "OPENSHIFT_APP_NAME", "ns": "OPENSHIFT_NAMESPACE"})
    unit = Unit("gear", "5502", "/openshift/5502", uid=os.geteuid(), home=str(gear.home))
    first = owners.of(unit)
    assert first == Owner("5502", "gear", {"appName": "A", "ns": "N"})
    gear.write(".env/OPENSHIFT_APP_NAME", "B")
    assert owners.of(unit) is first
    again = unit._replace(generation=2)
    assert owners.of(again).known == {"appName": "B", "ns": "N"}
    owners.keep({})
    gear.write(".env/OPENSHIFT_APP_NAME", "C")
    assert owners.of(again).known == {"appName": "C", "ns": "N"}
