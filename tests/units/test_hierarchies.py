# SPDX-License-Identifier: Apache-2.0
"""Promise: hierarchies are found where they are, v1, v2 and both."""

from __future__ import annotations

from pathlib import Path

import pytest

from shmetrics.errors import ShmetricsError
from shmetrics.units.hierarchies import Hierarchy, find

V2 = """\
22 1 0:20 / /proc rw shared:5 - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw
33 31 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
34 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct
35 31 0:34 / /sys/fs/cgroup/with\\040space rw shared:16 - cgroup cgroup rw,memory
36 31 0:35 / /sys/fs/cgroup/cpuset rw shared:17 - cgroup cgroup rw,cpuset
37 31 0:34 / /mnt/again rw shared:16 - cgroup cgroup rw,memory
"""


def mountinfo(folder: Path, text: str) -> str:
    path = folder / "mountinfo"
    path.write_text(text)
    return str(path)


def test_v2_alone(tmp_path: Path) -> None:
    assert find(mountinfo=mountinfo(tmp_path, V2)) == [Hierarchy(("unified",), "/sys/fs/cgroup")]


def test_hybrid(tmp_path: Path) -> None:
    assert find(mountinfo=mountinfo(tmp_path, HYBRID)) == [
        Hierarchy(("unified",), "/sys/fs/cgroup/unified"),
        Hierarchy(("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct"),
        Hierarchy(("memory",), "/sys/fs/cgroup/with space"),
    ]


def test_v1_alone_has_the_units_of_systemd(tmp_path: Path) -> None:
    text = "\n".join(line for line in HYBRID.splitlines() if "cgroup2" not in line)
    keys = [hierarchy.keys for hierarchy in find(mountinfo=mountinfo(tmp_path, text))]
    assert keys == [("name=systemd",), ("cpu", "cpuacct"), ("memory",)]


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 3 - cgroup\n", "1 2 3 4 5\n - \n"])
def test_no_cgroups_are_one_line(tmp_path: Path, text: str) -> None:
    path = mountinfo(tmp_path, text)
    with pytest.raises(ShmetricsError) as raised:
        find(mountinfo=path)
    assert str(raised.value) == f"{path}: no cgroups there; see gather.cgroup_root"


def test_a_root_of_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    assert find(str(tmp_path)) == [Hierarchy(("unified",), str(tmp_path))]


def test_a_root_of_v1(tmp_path: Path) -> None:
    for name in ("cpu,cpuacct", "memory", "unified", "systemd", "cpuset"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpu").symlink_to(tmp_path / "cpu,cpuacct")  # as distributions have it
    assert find(str(tmp_path)) == [
        Hierarchy(("cpu", "cpuacct"), f"{tmp_path}/cpu,cpuacct"),
        Hierarchy(("memory",), f"{tmp_path}/memory"),
        Hierarchy(("unified",), f"{tmp_path}/unified"),
    ]


def test_a_root_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ShmetricsError) as raised:
        find(str(tmp_path / "gone"))
    assert str(raised.value) == f"{tmp_path}/gone: No such file or directory"


def test_this_machine_is_as_its_kernel_says() -> None:
    """Check the real mounts against /proc/self/cgroup, which lists the same hierarchies."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    if not lines:
        pytest.skip("this kernel has no cgroups")
    known = {"cpu", "cpuacct", "memory", "blkio", "pids", "name=systemd", "unified"}
    listed = {key or "unified" for line in lines for key in line.split(":")[1].split(",")}
    try:
        found = {key for hierarchy in find() for key in hierarchy.keys}
    except ShmetricsError:
        pytest.skip("nothing is mounted here")
    assert found <= listed & known
