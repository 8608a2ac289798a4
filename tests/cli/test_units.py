# SPDX-License-Identifier: Apache-2.0
"""`shmetrics units` and `shmetrics gather --once`: a look at this node."""

import json
from pathlib import Path
from typing import Any

import pytest

from shmetrics import cli
from tests.units import trees


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Return a configuration for a tree with one unit."""
    trees.root(tmp_path / "cgroup")
    trees.write(tmp_path / "cgroup/system.slice/web.service", trees.V2)
    path = tmp_path / "gather.toml"
    path.write_text(f'[gather]\ncgroup_root = "{tmp_path}/cgroup"\ngears = "{tmp_path}/none"\n')
    return str(path)


@pytest.mark.parametrize("arguments", [["units"], ["gather", "--once"]])
def test_a_table_of_units(
    config: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "--config", config]) == 0
    header, a_slice, a_service = capsys.readouterr().out.splitlines()
    assert header.split() == [
        *("kind", "unit", "cpu", "seconds", "memory", "KiB", "processes", "cgroup"),
    ]
    assert a_slice.split() == ["systemd", "system.slice", *"———", "/system.slice"]
    assert a_service.split("  ")[-1] == "/system.slice/web.service"
    assert "1\u202f024\u202f000" in a_service


def test_all_that_is_known_as_json(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["units", "--json", "--config", config]) == 0
    units: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    [web] = [unit for unit in units if unit["name"] == "web.service"]
    assert web["kind"] == "systemd"
    usage = {"family": "container_cpu_usage_seconds", "labels": [], "value": 7.000001}
    assert usage in web["values"]
    written = [each for each in web["values"] if each["family"] == "container_fs_writes_bytes"]
    assert sorted(each["value"] for each in written) == [0.0, 8192.0]  # of two devices


def test_a_node_without_units_says_so(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(config).read_text().replace("[gather]", '[gather]\nkinds = ["vm"]')
    Path(config).write_text(text)
    assert cli.main(["units", "--config", config]) == 0
    assert capsys.readouterr().out == (
        "there are no units: no cgroup fits a rule; name some in [[gather.units]]\n"
    )


def test_all_options_of_a_gatherer(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gather", "--print-default"]) == 0
    out = capsys.readouterr().out
    assert "\n[gather.textfile]\n" in out
    assert "\n[spawner]\n" in out


@pytest.mark.parametrize("command", ["units", "gather"])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[gather]\ninterval_seconds = 0", "gather.interval_seconds: 0 is not a whole number"),
        ('[gather]\ncgroup_root = "/nowhere"', "/nowhere: No such file or directory"),
        ("nonsense", "this is not TOML"),
    ],
)
def test_an_error_is_one_line(
    command: str,
    text: str,
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHMETRICS_RUNTIME_DIR", str(tmp_path))
    path = tmp_path / "gather.toml"
    path.write_text(text)
    assert cli.main([command, "--config", str(path)]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("shmetrics: ")
    assert problem in err
    assert err.count("\n") == 1
