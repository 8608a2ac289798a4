# SPDX-License-Identifier: Apache-2.0
"""Promise: a gear's commands are found where OpenShift puts them, and configured ones as told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shmetrics.config import node_conf
from shmetrics.config.probe import ProbeOptions
from shmetrics.errors import ConfigError
from shmetrics.probes import discovery
from shmetrics.probes.discovery import Timing, configured, metadata, of_gear
from shmetrics.probes.gear_files import ListedFiles
from shmetrics.probes.manifest import Metric
from shmetrics.probes.probe import Owner, Probe
from shmetrics.probes.spawner import listing
from tests.probes.gears import Gear, own_files

TIMING = Timing(60, 1)
METADATA = node_conf.parse("").metadata


@pytest.fixture
def gear(tmp_path: Path) -> Gear:
    return Gear(tmp_path, "5502", os.geteuid())


def found(gear: Gear) -> list[Probe]:
    gear.give()
    probes, problems = of_gear(gear.owner, TIMING, own_files(gear.owner))
    assert problems == []
    return probes


def test_a_gear_without_commands_has_no_probes(gear: Gear) -> None:
    assert found(gear) == []


def test_control_and_the_hook_are_found(gear: Gear) -> None:
    gear.cartridge()
    gear.hook()
    control, hook = found(gear)
    home = str(gear.home)
    assert control == Probe(
        gear.owner,
        "mock",
        (f"{home}/mock/bin/control", "metrics"),
        60,
        1,
        directory=f"{home}/mock",
        environment={
            "OPENSHIFT_APP_NAME": "A",
            "OPENSHIFT_APP_UUID": "U",
            "OPENSHIFT_GEAR_UUID": "5502",
            "OPENSHIFT_MOCK_IP": "127.0.250.1",
            "OPENSHIFT_NAMESPACE": "N",
        },
        cart="mock",
        metrics={"uptime": Metric("uptime", "Uptime", "line")},
    )
    assert hook.command == (f"{home}/{discovery.HOOK}",)
    assert hook.directory == home
    assert (hook.cart, hook.metrics) == ("", {})
    assert hook.environment["OPENSHIFT_APP_NAME"] == "A"
    assert control.key == ("5502", "mock")
    assert hook.key == ("5502", "action_hooks/metrics")


def test_a_gears_own_listing_says_the_same(gear: Gear) -> None:
    """Check what the spawner runs where the gatherer may not enter the directory."""
    gear.cartridge()
    gear.cartridge("other", "Metrics:\n  a:\n    help: äöü\n\n")
    gear.write("other/bin/metrics", "#!/bin/sh\n", 0o755)
    gear.cartridge("off", "Name: off\n")
    gear.write(".env/OPENSHIFT_EMPTY", "")
    gear.write(".env/OPENSHIFT_NO_END", "x")
    gear.write(".env/PATH", "/bin")
    gear.hook()
    gear.give()
    done = subprocess.run(listing.COMMAND, cwd=gear.home, capture_output=True, check=True)
    assert done.stderr == b""
    listed = ListedFiles(str(gear.home), done.stdout.split(b"\n"))
    assert of_gear(gear.owner, TIMING, listed) == of_gear(gear.owner, TIMING, own_files(gear.owner))
    assert metadata(listed, METADATA) == metadata(own_files(gear.owner), METADATA)


def test_a_gear_without_files_has_an_empty_listing(tmp_path: Path, gear: Gear) -> None:
    done = subprocess.run(listing.COMMAND, cwd=tmp_path, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    listed = ListedFiles(str(tmp_path), [])
    assert of_gear(gear.owner, TIMING, listed) == ([], [])
    with pytest.raises(FileNotFoundError):
        listed.read(".env/OPENSHIFT_APP_NAME", 10)


def test_bin_metrics_comes_before_control(gear: Gear) -> None:
    cart = gear.cartridge()
    gear.write("mock/bin/metrics", "#!/bin/sh\n", 0o644)
    assert found(gear)[0].command[0] == f"{cart}/bin/control"
    gear.write("mock/bin/metrics", "#!/bin/sh\n", 0o755)
    assert found(gear)[0].command == (f"{cart}/bin/metrics",)


@pytest.mark.parametrize("manifest", ["Name: a\n", "Name: a\nMetrics:\n", "Metrics: null\n"])
def test_without_metrics_in_its_manifest_a_cartridge_has_no_probe(
    gear: Gear, manifest: str
) -> None:
    gear.cartridge("a", manifest)
    gear.cartridge("b", "Metrics: [enabled]\n")
    [probe] = found(gear)
    assert probe.cart == "b"
    assert probe.metrics == {}


def test_a_hook_that_is_not_executable_does_not_run(gear: Gear) -> None:
    gear.hook().chmod(0o644)
    assert found(gear) == []


def test_what_is_wrong_with_one_cartridge_is_a_line_and_the_others_are_found(gear: Gear) -> None:
    gear.cartridge("bad", "Metrics: [\n")
    cart = gear.cartridge("dead")
    (cart / "bin" / "control").unlink()
    gear.cartridge("good")
    gear.give()
    probes, problems = of_gear(gear.owner, TIMING, own_files(gear.owner))
    assert [probe.name for probe in probes] == ["good"]
    bad, dead = problems
    assert bad.startswith(f"{gear.home}/bad/metadata/manifest.yml: line ")
    assert dead == (
        f"{cart}: its manifest has Metrics, and neither bin/metrics nor bin/control is an "
        "executable file"
    )


def test_a_gear_that_is_not_there_is_a_line() -> None:
    owner = Owner("x", "gear", 1, "/no/such/gear")
    assert of_gear(owner, TIMING, own_files(owner)).problems == [
        "/no/such/gear: No such file or directory"
    ]


def test_metadata_come_from_the_gear_s_variables(gear: Gear) -> None:
    gear.give()
    assert metadata(own_files(gear.owner), METADATA) == {
        "appName": "A",
        "gear": "5502",
        "app": "U",
        "ns": "N",
    }
    gear.write(".env/OPENSHIFT_APP_NAME", "export OPENSHIFT_APP_NAME='my app'\n")
    gear.write(".env/OPENSHIFT_APP_UUID", "x" * 201)
    gear.write(".env/OPENSHIFT_NAMESPACE", "a\nb")
    gear.give()
    assert metadata(own_files(gear.owner), METADATA) == {"appName": "my app", "gear": "5502"}


def test_a_link_in_a_gear_hands_over_nothing(gear: Gear, tmp_path: Path) -> None:
    """The gatherer may read what the gear may not."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    variable = gear.home / ".env" / "OPENSHIFT_APP_NAME"
    variable.unlink()
    variable.symlink_to(secret)
    gear.cartridge()
    folder = gear.home / "mock" / "env"
    (folder / "OPENSHIFT_MOCK_IP").unlink()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    [probe] = found(gear)
    assert "secret" not in str(probe)
    assert "appName" not in metadata(own_files(gear.owner), METADATA)


def test_a_file_of_another_user_is_not_read(gear: Gear) -> None:
    gear.give()
    owner = gear.owner._replace(uid=4711)
    if os.geteuid() == 0:  # root's files are trusted
        os.chown(gear.home / ".env" / "OPENSHIFT_APP_NAME", 4712, 4712)
    assert "appName" not in metadata(own_files(owner), METADATA)


def test_configured_probes_are_units_of_their_own() -> None:
    queue = ProbeOptions(name="queue", command=["/bin/q", "-v"], user=12, format="prometheus")
    own = ProbeOptions(name="own", command=["/bin/o"], interval_seconds=5)
    first, second = configured([queue, own], 7)
    assert first == Probe(
        Owner("queue", "probe", 12, "/"), "queue", ("/bin/q", "-v"), 60, 1, "prometheus"
    )
    assert (second.owner.uid, second.interval_seconds) == (7, 5)
    with pytest.raises(ConfigError, match="two have the name 'own'"):
        configured([own, own], 7)
