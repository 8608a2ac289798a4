# SPDX-License-Identifier: Apache-2.0
"""The units of gatherer and spawner: systemd understands them, and they expose little."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from shmetrics import cli
from shmetrics.config.gather import GatherConfig
from shmetrics.config.load import load_file
from tests.nodes.node import ROOT
from tests.package.test_systemd import analyze, complaints, needs_systemd

SYSTEMD = ROOT / "packaging/systemd"


class Unit(NamedTuple):
    """A unit, what it may expose in tenths, and the capabilities that it keeps."""

    command: str
    exposure: int
    capabilities: str

    @property
    def text(self) -> str:
        return (SYSTEMD / f"shmetrics-{self.command}.service").read_text()

    def setting(self, key: str) -> str:
        """Return the value of a key that it has once."""
        [found] = re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)
        return str(found)


UNITS = [
    Unit("gather", 15, ""),
    Unit("spawner", 36, "CAP_SETUID CAP_SETGID CAP_KILL CAP_DAC_READ_SEARCH"),
]
each = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.command)


@needs_systemd
@each
def test_systemd_understands_every_line(unit: Unit, tmp_path: Path) -> None:
    program = f"ExecStart={Path(sys.executable).parent}/shmetrics "
    path = tmp_path / f"shmetrics-{unit.command}.service"
    path.write_text(unit.text.replace("ExecStart=shmetrics ", program))
    assert complaints(path) == []


@needs_systemd
@each
def test_the_unit_exposes_little(unit: Unit, tmp_path: Path) -> None:
    path = tmp_path / f"shmetrics-{unit.command}.service"
    path.write_text(unit.text)
    security = ("security", "--offline=true", "--no-pager", f"--threshold={unit.exposure}")
    done = analyze(*security, path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert unit.setting("CapabilityBoundingSet") == unit.capabilities
    assert unit.setting("NoNewPrivileges") == "yes"


@each
def test_its_command_is_one_of_ours(unit: Unit) -> None:
    program, *arguments = shlex.split(unit.setting("ExecStart"))
    assert (program, arguments[0]) == ("shmetrics", unit.command)
    options = cli._parser().parse_args(arguments)
    assert options.config == f"/etc/{unit.setting('ConfigurationDirectory')}/gather.toml"


def test_their_configuration_is_the_default() -> None:
    assert load_file(str(SYSTEMD / "gather.toml"), GatherConfig) == GatherConfig()
