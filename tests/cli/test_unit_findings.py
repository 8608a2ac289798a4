# SPDX-License-Identifier: Apache-2.0
"""`shmetrics check --gather-config`: each thing that is wrong is found, with its mend."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from shmetrics.cli import unit_findings
from shmetrics.config.deliver import Deliver
from shmetrics.config.gather import Gather, GatherConfig, Textfile
from shmetrics.config.probe import EXAMPLE, ProbeOptions
from shmetrics.config.spawner import Spawner
from shmetrics.units.unit import Unit
from tests.units.trees import V2


def wrong(found: Any) -> list[str]:
    return [finding.text for finding in found if not finding.good]


def test_a_node_that_is_as_it_should_be(command: Any, tmp_path: Path) -> None:
    cgroups = tmp_path / "cgroup"
    unit = cgroups / "web.service"
    unit.mkdir(parents=True)
    (cgroups / "cgroup.controllers").write_text("cpu memory\n")
    for name, text in V2.items():
        (unit / name).write_text(text)
    file = tmp_path / "gather.toml"
    file.write_text(f'[gather]\ncgroup_root = "{cgroups}"\ngears = "{tmp_path}/none"\n')
    assert command("check", "--gather-config", str(file)) == (
        0,
        f"ok     {file}: every option is valid\nok     cgroups: version 2\n"
        "ok     1 units, about 40 series\n",
        "",
    )


def test_a_file_that_is_wrong(command: Any, tmp_path: Path) -> None:
    file = tmp_path / "gather.toml"
    file.write_text("[gather]\ninterval_seconds = 0\n")
    outcome = command("check", "--gather-config", str(file))
    assert outcome.status == 2
    assert f"{file}: gather.interval_seconds: 0" in outcome.err


def test_no_cgroups(tmp_path: Path) -> None:
    config = GatherConfig(gather=Gather(cgroup_root=str(tmp_path)))
    [text] = wrong(unit_findings.check(config))
    assert text == f"{tmp_path}: no cgroups there; see gather.cgroup_root"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([("unified",)], "version 2"),
        ([("cpu", "cpuacct"), ("memory",)], "version 1: cpu, cpuacct, memory"),
        ([("memory",), ("unified",)], "version 1: memory; version 2: the others"),
        ([("name=systemd",)], "no controller that is read"),
    ],
)
def test_versions(keys: list[tuple[str, ...]], text: str) -> None:
    assert unit_findings.versions(keys) == text


def test_room_for_units() -> None:
    [none] = unit_findings.room([])
    assert "[[gather.units]]" in none.text
    many = [Unit("systemd", f"{n}.service", f"/{n}") for n in range(2600)]
    assert wrong(unit_findings.room(many[:2500])) == []
    [text] = wrong(unit_findings.room(many))
    assert "raise store.max_series_per_lane of the collector above 104000" in text


def test_gears_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gear = Unit("gear", "5502", "/openshift/5502", uid=1000, home=str(tmp_path))
    assert list(unit_findings.readable([gear], "/none")) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path))
    [text] = wrong(unit_findings.readable([gear], "/none"))
    assert text.startswith(f"{tmp_path}: not readable for uid ")
    assert text.endswith("as 1 of 1 gears; shmetrics-spawner, as root, lists their files")


def test_commands_that_would_not_run(tmp_path: Path) -> None:
    probes = [
        ProbeOptions(name="good", command=["/bin/sh"]),
        ProbeOptions(name="bad", command=[f"{tmp_path}/none"]),
    ]
    [text] = wrong(unit_findings.commands(Gather(probe=probes)))
    assert text == f"gather.probe bad: {tmp_path}/none: No such file or directory"


def test_the_spawner(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    nothing = Gather(gears=f"{tmp_path}/none")
    probes = Gather(gears=f"{tmp_path}/none", probe=[EXAMPLE])

    def found(gather: Gather) -> list[str]:
        config = GatherConfig(gather=gather, spawner=Spawner(socket=path))
        return [f"{one.good} {one.text}" for one in unit_findings.spawner(config)]

    assert found(nothing) == []
    assert found(probes)[0].startswith(f"True {path}: no spawner listens there; ")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(path)
        assert "is shmetrics-spawner running?" in found(probes)[0]
        listening.listen(1)
        assert found(probes) == [f"True {path}: a spawner listens"]


@pytest.mark.parametrize(
    ("burst", "good"), [("RateLimitBurst=5", False), ("RateLimitBurst=0", True), ("", True)]
)
def test_the_journals_rate_limit(tmp_path: Path, burst: str, good: bool) -> None:
    (tmp_path / "journald.conf").write_text("[Journal]\nRateLimitBurst=20000\n")
    (tmp_path / "journald.conf.d").mkdir()
    (tmp_path / "journald.conf.d" / "x.conf").write_text(f"[Journal]\n{burst}\n")
    gather = Gather(
        deliver=[Deliver(to="journal://")],
        probe=[EXAMPLE, *(EXAMPLE.__class__(name=f"p{n}", command=["/x"]) for n in range(4))],
    )
    [found] = unit_findings.rate_limits(gather, tmp_path / "journald.conf")
    assert found.good == good
    assert list(unit_findings.rate_limits(Gather(), tmp_path / "journald.conf")) == []


def test_others_that_show_the_same(tmp_path: Path) -> None:
    for pid, name in (("1", "systemd"), ("7", "kubelet")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_text(f"{name}\n")
    [text] = wrong(unit_findings.doubles(tmp_path))
    assert text.startswith("kubelet runs here and shows container_* ")


def test_a_command_that_is_not_executable(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    probe = ProbeOptions(name="x", command=[str(program)], user=os.geteuid())
    [text] = wrong(unit_findings.commands(Gather(probe=[probe])))
    assert text == f"gather.probe x: {program}: not executable; chmod a+x {program}"
    program.chmod(0o755)
    assert not list(unit_findings.commands(Gather(probe=[probe])))


def test_directories_of_text_files(tmp_path: Path) -> None:
    gather = Gather(textfile=Textfile(directories=[str(tmp_path), f"{tmp_path}/none"]))
    [text] = wrong(unit_findings.textfiles(gather))
    assert text == f"gather.textfile.directories: {tmp_path}/none: No such file or directory"


def test_places_without_which_a_gatherer_does_not_start(tmp_path: Path) -> None:
    none = f"{tmp_path}/none"
    places = [
        Deliver(to=f"file://{none}/{{unit}}.log"),
        Deliver(to=f"file://{tmp_path}/{{unit}}.log"),
        Deliver(to="syslog+tls://localhost:6514", ca_file=none),
    ]
    assert wrong(unit_findings.places(Gather(deliver=places))) == [
        f"gather.deliver: file://{none}/{{unit}}.log: {none}: no such directory; make one that the "
        "gatherer may write to",
        f"gather.deliver: syslog+tls://localhost:6514: ca_file: {none}: No such file or directory",
    ]


def test_a_static_unit_without_a_cgroup_is_said() -> None:
    there = Unit("static", "a", "/a", directories={"unified": "/sys/fs/cgroup/a"})
    missing = Unit("static", "b", "/b")
    [found] = unit_findings.static([there, missing])
    assert found.good
    assert found.text.startswith("gather.units b: there is no cgroup /b now")
