# SPDX-License-Identifier: Apache-2.0
"""Promise: a gear as OpenShift makes it gives its lines to a real rsyslog, and its series."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics.config.gather import GatherConfig
from shmetrics.config.load import load_file
from shmetrics.gatherer import daemon
from shmetrics.probes.discovery import HOOK_NAME, LISTER_NAME
from shmetrics.probes.schedule import phase_ns
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
GATHERER = 65534
USER = 54325  # that this machine has not
SLOW = "#!/bin/bash\necho type=metric begun=1\nsleep 60 &\nsleep 60\n"

NODE_CONF = """
WATCHMAN_METRICS_ENABLED="true"
WATCHMAN_METRICS_INTERVAL=10
METRICS_PER_SCRIPT_TIMEOUT=0.5
"""

UNIT = """
[[gather.units]]
name = "{uuid}"
cgroup = "{cgroup}"
uid = {uid}
home = "{home}"
"""

CONFIG = """
[gather]
quota = false
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
    (folder / "gather.toml").write_text(
        (CONFIG + UNIT).format(folder=folder, gears=gears, **values)
    )
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
        assert node.samples().value("shmetrics_probe_killed_total", reason="timeout") >= 1
        assert processes_of(USER) == []
    finally:
        status, said_last = gatherer.end(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in said_last


LOCKED_CONFIG = """
[gather]
quota = false
interval_seconds = 10
[gather.lines]
socket = "none"
[[gather.deliver]]
to = "file://{logs}/{{unit}}.log"
batch_seconds = 0.01
[spawner]
socket = "{folder}/spawner.sock"
user = {gatherer}
directories = ["{gears}"]
"""


def close_by(uuid: str) -> bool:
    """Return whether the commands of a gear have their turns soon after its files are listed."""
    interval_ns = 10**10
    listed, *commands = (
        phase_ns((uuid, name), interval_ns) for name in (LISTER_NAME, "mock", HOOK_NAME)
    )
    return all(3e8 < (phase - listed) % interval_ns < 2e9 for phase in commands)


@pytest.mark.slow
def test_a_gear_that_nobody_else_may_enter(cgroups: Cgroups, folder: Path) -> None:
    """Let a gatherer be another user, without any right, and only the spawner root."""
    uid = pwd.getpwnam("daemon").pw_uid
    gears, logs, run = (folder / name for name in ("gears", "logs", "run"))
    for each in (gears, logs, run):
        each.mkdir()
        os.chown(each, *((0, 0) if each == gears else (GATHERER, GATHERER)))
    uuid = next(name for name in map(str, range(10_000)) if close_by(name))
    gear = Gear(gears, uuid, uid)
    gear.cartridge()
    gear.hook()
    gear.give()
    os.chown(gear.home, 0, uid)  # as OpenShift has it
    gear.home.chmod(0o750)
    values = {"uuid": uuid, "cgroup": cgroups.make(f"/{uuid}"), "uid": uid, "home": gear.home}
    config = folder / "gather.toml"
    config.write_text(
        (LOCKED_CONFIG + UNIT).format(
            folder=folder, gears=gears, logs=logs, gatherer=GATHERER, **values
        )
    )
    command = [sys.executable, "-m", "shmetrics"]
    spawner = subprocess.Popen(
        [*command, "spawner", "--config", str(config)], stdout=subprocess.PIPE, text=True
    )
    assert spawner.stdout is not None
    assert spawner.stdout.readline().startswith("shmetrics spawner is ready")
    gatherer = started_as(GATHERER, load_file(str(config), GatherConfig), run, folder / "said")
    log = logs / f"{uuid}.log"
    try:
        until(lambda: log.exists() and log.read_text().count("\n") >= 2, lambda: str(log), 60)
    finally:
        os.kill(gatherer, signal.SIGTERM)
        status = os.waitstatus_to_exitcode(os.waitpid(gatherer, 0)[1])
        spawner.send_signal(signal.SIGTERM)
        spawner.communicate(timeout=30)
    assert (status, (folder / "said").read_text()) == (0, "")
    known = f"appName=A gear={uuid} app=U ns=N"
    assert {line.partition(" ")[2] for line in log.read_text().splitlines()} == {
        f"type=metric cart=mock {known} uptime=12.3",
        f"type=metric {known} thread.count=5 thread.active=2 heap.permgen.size=25000000",
    }


def started_as(uid: int, config: GatherConfig, runtime: Path, said: Path) -> int:
    """Start a gatherer as another user, to whom our Python may be closed; return its pid."""
    import concurrent.futures.thread  # noqa: F401  which asyncio imports later on

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet, which another test has loaded, warns of a fork
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        fd = os.open(said, os.O_WRONLY | os.O_CREAT, 0o644)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.environ["SHMETRICS_RUNTIME_DIR"] = str(runtime)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        daemon.run(config, "", lambda what: None)
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


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
