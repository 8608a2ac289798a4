# SPDX-License-Identifier: Apache-2.0
"""A bad configuration of the gatherer is one line that names file, option, value and mend."""

from pathlib import Path

import pytest

from shmetrics.config.gather import Gather, GatherConfig, Processes, StaticUnit
from shmetrics.config.load import load_file
from shmetrics.errors import ConfigError
from shmetrics.units.unit import KINDS, STATIC


def load(tmp_path: Path, text: str) -> Gather:
    path = tmp_path / "gather.toml"
    path.write_text(text)
    return load_file(str(path), GatherConfig).gather


def test_nothing_given_is_the_defaults() -> None:
    found = load_file("", GatherConfig).gather
    assert found.interval_seconds == 60
    assert {*found.kinds, STATIC} == set(KINDS)
    assert found.units == []


def test_every_option_can_be_set(tmp_path: Path) -> None:
    text = """
        [gather]
        interval_seconds = 10
        kinds = ["gear", "vm"]
        cgroup_root = "/host/sys/fs/cgroup"
        gears = "/srv/gears"
        quota = false
        [gather.processes]
        enabled = true
        pss = true
        pss_seconds = 0.5
        [[gather.units]]
        name = "nightly"
        cgroup = "/jobs/nightly"
        uid = 1000
        home = "/srv/nightly"
    """
    unit = StaticUnit(name="nightly", cgroup="/jobs/nightly", uid=1000, home="/srv/nightly")
    assert load(tmp_path, text) == Gather(
        interval_seconds=10,
        kinds=["gear", "vm"],
        cgroup_root="/host/sys/fs/cgroup",
        gears="/srv/gears",
        quota=False,
        processes=Processes(enabled=True, pss=True, pss_seconds=0.5),
        units=[unit],
    )


ONE = '[[gather.units]]\nname = "a"\ncgroup = "/a"\n'
WRONG = {
    '[gather]\nkinds = ["docker"]': "gather.kinds[0]: 'docker' is not one of container, gear, pod",
    '[gather]\nkinds = "vm"': "gather.kinds: 'vm' is not a list",
    '[[gather.probe]]\nname = "x"\ncommand = ["/a"]\nformat = "json"': (
        "gather.probe[0].format: 'json' is not one of lines, prometheus"
    ),
    '[[gather.probe]]\nname = ""\ncommand = ["/a"]': (
        "gather.probe[0].name: '' is not a string that is not empty"
    ),
    '[[gather.probe]]\nname = "a b"\ncommand = ["/a"]': (
        "gather.probe[0].name: 'a b' is not a string that fits [A-Za-z0-9_.:@-]+"
    ),
    "[gather]\ninterval_seconds = 0": "gather.interval_seconds: 0 is not a whole number from 10",
    "[gather]\ninterval_seconds = 9": "gather.interval_seconds: 9 is not a whole number from 10",
    '[gather]\ninterval_seconds = "1m"': "gather.interval_seconds: '1m' is not a whole number",
    "[gather]\nintervall_seconds = 60": (
        "gather.intervall_seconds: no such option; did you mean interval_seconds?"
    ),
    "[gathers]": "gathers: no such option; did you mean gather?",
    '[gather]\nkinds = ["lxc"]': "gather.kinds[0]: 'lxc' is not ",
    ONE + ONE.replace("/a", "/b"): "gather.units: two have the name 'a'; rename one",
    ONE + ONE.replace('"a"', '"b"'): "gather.units: two have the cgroup '/a'; rename one",
    ONE.replace("/a", "/"): "gather.units[0].cgroup: '/' is no path below the root",
    ONE.replace("/a", "a"): "gather.units[0].cgroup: 'a' is no path below the root",
    ONE.replace("/a", "/a/../b"): "gather.units[0].cgroup: '/a/../b' is no path below the root",
    ONE + "uid = -1": "gather.units[0].uid: -1 is not ",
    ONE + 'home = "x"': "gather.units[0].home: 'x' is not an absolute path",
    '[[gather.units]]\nname = "a"': "gather.units[0].cgroup: this option is required",
    "[gather.processes]\npss_seconds = 0": "gather.processes.pss_seconds: 0 is not a number from",
    "interval": "this is not TOML: ",
}


@pytest.mark.parametrize(("text", "problem"), WRONG.items())
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/gather.toml: ")
    assert problem in message
    assert "\n" not in message
