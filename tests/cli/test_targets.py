# SPDX-License-Identifier: Apache-2.0
"""`shmetrics targets`: from an inventory to what Prometheus discovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

LIST = """
# the controllers
ctl-1 role=control
ctl-2:9100 role=control rack=a  # another port
cmp-1
fd00::1
[fd00::2]:9465
"""
ANSIBLE = {
    "_meta": {"hostvars": {"cmp-1": {"ansible_host": "10.0.0.1", "x": [1]}, "cmp-2": {}}},
    "all": {"children": ["ungrouped", "compute", "control"]},
    "compute": {"hosts": ["cmp-1", "cmp-2"]},
    "control": {"hosts": ["ctl-1", "cmp-1"], "children": ["all"]},
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    return tmp_path / "inventory"


def test_a_plain_list(command: Any, inventory: Path) -> None:
    inventory.write_text(LIST)
    outcome = command("targets", str(inventory))
    assert (outcome.status, outcome.err) == (0, "")
    assert json.loads(outcome.out) == [
        {"targets": ["ctl-1:9464"], "labels": {"role": "control"}},
        {"targets": ["ctl-2:9100"], "labels": {"role": "control", "rack": "a"}},
        {"targets": ["cmp-1:9464", "[fd00::1]:9464", "[fd00::2]:9465"], "labels": {}},
    ]


def test_an_inventory_of_ansible(command: Any, inventory: Path, tmp_path: Path) -> None:
    inventory.write_text(json.dumps(ANSIBLE))
    output = tmp_path / "targets.json"
    asked = ("targets", str(inventory), "--output", str(output))
    assert command(*asked, "--group", "compute", "--port", "19464") == (0, "", "")
    compute = ["10.0.0.1:19464", "cmp-2:19464"]
    assert json.loads(output.read_text()) == [{"targets": compute, "labels": {}}]
    assert command(*asked) == (0, "", "")
    (all_,) = json.loads(output.read_text())
    assert sorted(all_["targets"]) == ["10.0.0.1:9464", "cmp-2:9464", "ctl-1:9464"]
    assert sorted(os.listdir(tmp_path)) == ["inventory", "targets.json"]


@pytest.mark.parametrize(
    ("text", "more", "what"),
    [
        ("a b", (), "line 1: b is no LABEL=VALUE"),
        ("\na:b", (), "line 2: 'a:b' is not HOST:PORT"),
        (":1", (), "names no host"),
        ("a", ("--group", "x"), "a plain list has no groups"),
        ("{", (), "this is not what `ansible-inventory --list` prints"),
        ('{"a": {"hosts": 1}}', (), "this is not what `ansible-inventory --list` prints"),
        ('{"a": {}}', ("--group", "x"), "no group x; there are: a"),
    ],
)
def test_what_is_wrong_is_named(
    command: Any, inventory: Path, text: str, more: tuple[str, ...], what: str
) -> None:
    inventory.write_text(text)
    outcome = command("targets", str(inventory), *more)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"shmetrics: {inventory}: ")
    assert what in outcome.err


def test_they_are_served_also_when_there_are_none(inventory: Path) -> None:
    inventory.write_text("")
    process = subprocess.Popen(
        [sys.executable, "-m", "shmetrics", "targets", str(inventory), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        for text, expected in (("", []), ("a", [{"targets": ["a:9464"], "labels": {}}])):
            inventory.write_text(text)
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.headers["Content-Type"] == "application/json"
                assert json.load(answer) == expected
        inventory.write_text("{")
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(url, timeout=10)
        with found.value as error:
            assert error.code == 500
    finally:
        process.terminate()
        assert process.wait(10) == 0
        if process.stdout:
            process.stdout.close()
