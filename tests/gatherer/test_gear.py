# SPDX-License-Identifier: Apache-2.0
"""Promise: a gear as OpenShift makes it gives its lines to a real rsyslog, and its series."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gatherer.test_daemon import Gatherer
from tests.nodes.node import Node
from tests.probes.conftest import folder
from tests.probes.gears import Gear
from tests.servers.patience import until
from tests.servers.rsyslog import Rsyslog, lacking, lines_of
from tests.units.cgroups import Cgroups

__all__ = ["folder"]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a gear's commands as its user"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]
USER = 54325  # that this machine has not
SLOW = "#!/bin/bash\necho type=metric begun=1\nsleep 60 &\nsleep 60\n"

NODE_CONF = """
WATCHMAN_METRICS_ENABLED="true"
WATCHMAN_METRICS_INTERVAL=10
METRICS_PER_SCRIPT_TIMEOUT=0.5
"""

CONFIG = """
[gather]
quota = false
[[gather.units]]
name = "{uuid}"
cgroup = "{cgroup}"
uid = {uid}
home = "{home}"
[[gather.deliver]]
to = "syslog://{folder}/s"
batch_seconds = 0.01
[spawner]
socket = "{folder}/none"
directories = ["{gears}"]
"""


@pytest.fixture
def rsyslog(folder: Path) -> Iterator[Path]:
    """Start an rsyslogd; yield the file with what it has got, a message a line as JSON."""
    listen = f'input(type="imuxsock" Socket="{folder}/s" UseSpecialParser="off")\n'
    out = folder / "out"
    server = Rsyslog(
        folder, f'{listen}action(type="omfile" file="{out}" template="parts")\n', folder / "s"
    )
    yield out
    server.stop()


def test_a_gear_as_openshift_makes_it(
    node: Node, cgroups: Cgroups, folder: Path, rsyslog: Path
) -> None:
    gears = folder / "gears"
    gears.mkdir()
    gear = Gear(gears, "5502", USER)
    gear.cartridge()
    gear.cartridge("slow")
    gear.write("slow/bin/metrics", SLOW, 0o755)
    gear.hook()
    gear.give()
    os.chown(gear.home, 0, USER)  # as OpenShift has it
    (folder / "node.conf").write_text(NODE_CONF)
    values = {"uuid": "5502", "cgroup": cgroups.make("/5502"), "uid": USER, "home": gear.home}
    (folder / "gather.toml").write_text(CONFIG.format(folder=folder, gears=gears, **values))
    node.start()
    arguments = ["--config", str(folder / "gather.toml"), "--node-conf", str(folder / "node.conf")]
    gatherer = Gatherer(node, None, *arguments)
    try:
        assert gatherer.first_line == "shmetrics gather is ready: units every 10 s\n"
        said = {json.loads(line)["text"] for line in lines_of(rsyslog, 3)}
        known = "appName=A gear=5502 app=U ns=N"
        assert said == {
            f"type=metric cart=mock {known} uptime=12.3",
            f"type=metric {known} thread.count=5 thread.active=2 heap.permgen.size=25000000",
            f"type=metric cart=slow {known} begun=1",
        }
        until(
            lambda: len(node.samples().of("script_success")) == 3,
            lambda: node.samples().of("script_success"),
            30,
        )
        found = node.samples()
        unit = {"unit": "5502", "kind": "static"}
        assert found.value("uptime", cart="mock", **unit) == 12.3
        assert found.value("heap_permgen_size", cart="", **unit) == 25000000
        assert found.value("script_success", script="mock", **unit) == 1
        assert found.value("script_success", script="action_hooks/metrics", **unit) == 1
        assert found.value("script_success", script="slow", **unit) == 0
        assert 0.5 <= found.value("script_duration_seconds", script="slow", **unit) < 10
        shown = {"display_name": "Uptime", "graph_type": "line"}
        assert found.value("shmetrics_unit_metric_info", metric="uptime", **shown, **unit) == 1
        until(
            lambda: node.samples().counted("shmetrics_probe_killed_total"),
            lambda: node.samples().of("shmetrics_probe_killed_total"),
            30,
        )
        assert node.samples().value("shmetrics_probe_killed_total", reason="timeout") == 1
        assert processes_of(USER) == []
    finally:
        status, said_last = gatherer.end(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in said_last


def processes_of(uid: int) -> list[int]:
    """Return the pids of a user."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                if path.stat().st_uid == uid:
                    found.append(int(path.name))
            except OSError:
                continue  # it has just ended
    return found
