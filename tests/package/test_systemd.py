# SPDX-License-Identifier: Apache-2.0
"""The systemd unit: it is right, it forbids much, and the collector needs nothing of that.

No systemd runs here. What the unit forbids is forbidden to a real collector by strace, which fails
the same system calls with the same error.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics import cli
from shmetrics.collector.rlimits import lanes_that_fit
from shmetrics.config import Config, load
from shmetrics.registration.pending_connections import MAX_PENDING
from tests.nodes.node import ROOT, Emitter
from tests.nodes.samples import Samples, parse
from tests.servers.patience import PATIENT
from tests.servers.processes import ServerProcess, until

UNIT = ROOT / "packaging/systemd/shmetrics.service"
SYSUSERS = ROOT / "packaging/systemd/shmetrics.sysusers"
COLLECTOR, SERVICE, GROUP = 54321, 54322, 54323  # users and a group that this machine has not
EXPOSURE = 15  # tenths; of a unit without any of this it is 96

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="no strace here")


def settings(key: str) -> list[str]:
    """Return the values of a key of the unit, in their order."""
    found = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found, key
    return found


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60
    )


def complaints(unit: Path) -> list[str]:
    """Return what systemd says of a unit; of the machine's own units it may say more."""
    done = analyze("verify", "--man=no", unit)
    assert done.returncode == 0, done.stderr
    others = ("/lib/systemd/", "/usr/lib/systemd/", "/etc/systemd/", "/run/systemd/")
    return [line for line in done.stderr.splitlines() if not line.startswith(others)]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that exists."""
    program = f"ExecStart={Path(sys.executable).parent}/shmetrics "
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("ExecStart=shmetrics ", program))
    return path


@needs_systemd
def test_systemd_understands_every_line(unit: Path) -> None:
    assert complaints(unit) == []
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSec="))
    assert "Unknown key" in " ".join(complaints(unit))


@needs_systemd
def test_the_unit_exposes_little(unit: Path) -> None:
    security = ("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}")
    done = analyze(*security, unit)
    assert done.returncode == 0, done.stdout + done.stderr
    bare = unit.with_name("bare.service")
    bare.write_text(f"[Service]\nExecStart={sys.executable}\n")
    assert analyze(*security, bare).returncode != 0


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="no systemd here")
def test_its_user_can_be_made(tmp_path: Path) -> None:
    [user] = settings("User")
    done = subprocess.run(
        ["systemd-sysusers", "--dry-run", "--root", tmp_path, SYSUSERS],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert f"'{user}'" in done.stderr + done.stdout


def test_its_command_is_one_of_ours() -> None:
    [line] = settings("ExecStart")
    program, *arguments = shlex.split(line)
    assert program == "shmetrics"
    options = cli._parser().parse_args(arguments)
    assert options.runtime_dir == "/run/" + settings("RuntimeDirectory")[0]
    assert options.config == f"/etc/{settings('ConfigurationDirectory')[0]}/collector.toml"


def test_its_configuration_lets_services_in() -> None:
    found = load(str(UNIT.with_name("collector.toml")))
    assert found.registration.lets_others_in()


def test_totals_and_lanes_survive_a_restart_of_the_service() -> None:
    assert settings("RuntimeDirectoryPreserve") == ["yes"]
    assert settings("RuntimeDirectoryMode") == ["0711"]
    assert settings("Type") == ["notify"]


# ---- what it forbids is not needed -----------------------------------------------------------


def calls_in(group: str, groups: dict[str, list[str]]) -> set[str]:
    """Return the system calls of a group, and of the groups in it."""
    found: set[str] = set()
    for name in groups[group]:
        found |= calls_in(name, groups) if name.startswith("@") else {name}
    return found


def allowed_calls() -> set[str]:
    """Return the system calls that the SystemCallFilter= lines leave, one after the other."""
    groups: dict[str, list[str]] = {}
    names: list[str] = []
    for line in analyze("syscall-filter").stdout.splitlines():
        if line.startswith("@"):
            groups[line] = names = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            names.append(line.strip())
        elif line.startswith("#"):
            names = []  # calls of no group
    allowed: set[str] = set()
    for value in settings("SystemCallFilter"):
        named = set().union(*(calls_in(group, groups) for group in value.lstrip("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


# All that a service manager does before. strace forbids system calls once it is attached.
BECOME = f"""
import os, sys, time
import shmetrics.cli.collector, shmetrics.collector.daemon
from shmetrics.cli import main
os.umask(0o{int(settings("UMask")[0], 8):o})
os.setgroups([{GROUP}])
os.setresgid({COLLECTOR}, {COLLECTOR}, {COLLECTOR})
os.setresuid({COLLECTOR}, {COLLECTOR}, {COLLECTOR})
print("waits", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
sys.exit(main(["collector", *sys.argv[2:]]))
"""


class Confined:
    """A collector as its unit has it: as a user of its own, and without the forbidden calls."""

    def __init__(self, folder: Path, name: str) -> None:
        self.runtime_dir = folder / "run"
        self._log, self._trace = folder / f"{name}.log", folder / f"{name}.strace"
        config = folder / "collector.toml"
        config.write_text(
            "constant_labels = {}\n[registration]\n"
            f'allow_uids = "any"\nsocket_group = {GROUP}\nmax_lanes = 10\n'
        )
        config.chmod(0o644)
        go = folder / f"{name}.go"
        options = ["--runtime-dir", str(self.runtime_dir), "--config", str(config)]
        self._collector = ServerProcess(
            [sys.executable, "-c", BECOME, str(go), *options, "--listen", "127.0.0.1:0"],
            self._log,
            os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self._collector.ready_when(lambda: "waits" in self.said, 60)
        self._strace = self._forbid(folder / f"{name}.attached")
        go.touch()
        self._collector.ready_when(lambda: "http://" in self.said, 60)
        found = re.search(r"http://[0-9.]+:\d+", self.said)
        assert found
        self.url = found[0]

    def _forbid(self, log: Path) -> ServerProcess:
        allowed = ",".join(f"?{name}" for name in sorted(allowed_calls()))
        command = ["strace", "-f", "-p", str(self._collector.pid), "-o", str(self._trace)]
        command += ["-e", "trace=all", "-e", f"inject=!{allowed}:error=EPERM"]
        strace = ServerProcess(command, log)
        strace.ready_when(lambda: "attached" in log.read_text(), 60)
        return strace

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def trace(self) -> str:
        return self._trace.read_text()

    def samples(self) -> Samples:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as response:
            return parse(response.read().decode())

    def stop(self) -> int:
        status = self._collector.stop(60)
        self._strace.stop()
        return status


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a runtime directory as systemd does: the collector's, in a folder of root's."""
    path = Path(tempfile.mkdtemp(prefix="shm-"))
    path.chmod(0o755)
    (path / "run").mkdir()
    (path / "run").chmod(int(settings("RuntimeDirectoryMode")[0], 8))
    os.chown(path / "run", COLLECTOR, COLLECTOR)
    yield path
    shutil.rmtree(path)


EMIT = f"""
jobs = shmetrics.Counter("jobs", "Jobs")
shmetrics.status()
os.setgroups([{GROUP}])
os.setgid({SERVICE})
os.setuid({SERVICE})
jobs.inc()
assert shmetrics.status()["connected"], shmetrics.status()
pause("registered")
jobs.inc(10)
"""


@as_root
@needs_systemd
@needs_strace
def test_a_collector_without_privileges_needs_nothing_that_its_unit_forbids(folder: Path) -> None:
    """Check a collector that serves another user's process, across a restart."""
    collector = Confined(folder, "first")
    service = Emitter(PATIENT + EMIT, {"SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir)})
    try:
        service.until("registered")
        assert collector.samples().value("jobs_total") == 1
        assert collector.stop() == 0
        first, collector = collector, Confined(folder, "second")
        service.go()
        service.end()
        until(lambda: not list(folder.glob("run/lanes/*")), lambda: "a lane is left", 30)
        assert collector.samples().value("jobs_total") == 11
        assert collector.stop() == 0
    finally:
        service.abandon()
        collector.stop()
    for one in (first, collector):
        said = [line for line in one.said.splitlines() if line != "waits"]
        assert len(said) == 1, said  # that it is ready
        check_trace(one.trace, str(folder / "run"))


def test_the_unit_lets_it_open_as_many_files_as_all_lanes_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check the unit's limit, which the collector may not raise itself."""
    limit = int(settings("LimitNOFILE")[0])
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    monkeypatch.delattr(resource, "setrlimit")
    defaults = Config()
    wanted = defaults.registration.max_lanes
    assert lanes_that_fit(wanted, MAX_PENDING + defaults.web.max_connections) == wanted


def check_trace(trace: str, folder: str) -> None:
    """Check that there is no other write, no other socket, no memory to write and to run."""
    assert "AF_UNIX" in trace
    families = set(re.findall(r"\bsocket\((AF_\w+)", trace))
    assert families <= set(settings("RestrictAddressFamilies")[0].split())
    assert not re.findall(r"^.*PROT_WRITE\|PROT_EXEC.*$", trace, re.MULTILINE)
    changes = re.findall(r"^.*?((?:openat|mkdir|unlink|rename|chmod)\(.*)$", trace, re.MULTILINE)
    written = [
        call
        for call in changes
        if " = -1 " not in call
        and (not call.startswith("openat") or re.search(r"O_(WRONLY|RDWR|CREAT)", call))
    ]
    assert written
    outside = [call for call in written if f'"{folder}/' not in call and '"/dev/null"' not in call]
    assert outside == []
