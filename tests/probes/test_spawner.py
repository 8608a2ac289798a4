# SPDX-License-Identifier: Apache-2.0
"""Promise: the spawner runs what it may as whom it should, and nothing of it goes on afterwards.

Each test has a real spawner and real processes: once with a cgroup for each run, once without.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmetrics.probes.spawner import protocol, run_cgroups
from shmetrics.probes.spawner.connection import Connection
from tests.probes import asking
from tests.probes.asking import NOBODY, Asker, as_root, gone, is_running, numbers_in
from tests.servers.patience import until

USER = NOBODY if os.geteuid() == 0 else os.geteuid()


def config(commands: dict[str, list[str]], more: str = "", user: int = USER) -> str:
    """Return a configuration with commands by name."""
    probes = "".join(
        f"[[gather.probe]]\nname = {json.dumps(name)}\ncommand = {json.dumps(command)}\n"
        f"user = {user}\n"
        for name, command in commands.items()
    )
    return f"[spawner]\n{more}\n{probes}"


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


@pytest.fixture(params=["cgroups", "sessions"])
def mode(request: pytest.FixtureRequest) -> str:
    """Return the line of a configuration for cgroups of runs, or none."""
    if request.param == "sessions":
        return "cgroups = false"
    if not asking.has_run_cgroups():
        pytest.skip("this kernel, or this user, has no cgroup v2 with cgroup.kill")
    return "cgroups = true"


class Commands:
    """Commands of a spawner, by name; it is started with all of them."""

    def __init__(self, asker: Asker, commands: dict[str, list[str]]) -> None:
        self.asker = asker
        self._commands = commands

    def run(self, name: str, **more: Any) -> asking.Seen:
        return self.asker.run(self._commands[name], USER, **more)

    def ask(self, name: str, **more: Any) -> tuple[int, int, int]:
        return self.asker.ask(self._commands[name], USER, **more)


@pytest.fixture
def commands(folder: Path, open_folder: Path, mode: str) -> Iterator[Commands]:
    """Yield a spawner with the commands of all these tests."""
    pids = open_folder / "pids"
    known = {
        "true": ["/bin/true"],
        "false": ["/bin/false"],
        "missing": ["/no/such/program"],
        "words": shell("echo one; echo two >&2; exit 7"),
        "killed": shell("kill -SEGV $$"),
        "id": shell("id -u; id -g; id -G; cat /proc/self/status"),
        "environment": ["/usr/bin/env"],
        "descriptors": shell("ls -l /proc/self/fd; readlink /proc/self/fd/0"),
        "limits": ["/bin/cat", "/proc/self/limits"],
        "again": shell("echo again > /dev/stdout"),
        "where": shell("pwd; umask"),
        "stat": ["/bin/cat", "/proc/self/stat"],
        "sleep": shell(f"echo $$ >> {pids}; exec sleep 1000"),
        "polite": shell(f"trap 'echo told; exit 0' TERM; echo $$ >> {pids}; sleep 1000 & wait"),
        # The hard one: it ignores SIGTERM, has a session of its own, and holds the pipe.
        "stubborn": shell(
            f"trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ >> {pids}; sleep 1000; echo no' &"
            f"echo $$ >> {pids}; sleep 1000"
        ),
        # The same of a program that ends at once: a daemon, forked twice.
        "daemon": shell(
            f"(setsid sh -c 'trap \"\" TERM HUP; echo $$ >> {pids}; sleep 1000' &);"
            f"while [ ! -s {pids} ]; do :; done"
        ),
        "family": shell(
            f"for i in 1 2 3 4 5; do (setsid sh -c 'echo $$ >> {pids}; sleep 1000 & wait' &) ;"
            "done; sleep 1000"
        ),
    }
    with asking.spawner(config(known, mode), folder) as asker:
        yield Commands(asker, known)


def test_a_command_runs_and_its_end_is_told(commands: Commands) -> None:
    seen = commands.run("words")
    assert (seen.output, seen.errors) == ("one\n", "two\n")
    assert seen.ended.exit_code == 7
    assert not seen.ended.timed_out
    assert 0 < seen.ended.duration_seconds < asking.SECONDS
    assert commands.run("true").ended.exit_code == 0
    assert commands.run("false").ended.exit_code == 1
    assert commands.run("killed").ended.exit_code == -signal.SIGSEGV


# Signals 32 and 33: glibc lets nobody ignore them or stop ignoring them, see nptl(7).
OF_THE_C_LIBRARY = 0b11 << 31


@as_root
def test_it_is_the_user_and_nothing_more(commands: Commands) -> None:
    uid, gid, groups, *status = commands.run("id").output.splitlines()
    assert (uid, gid, groups) == (str(NOBODY),) * 3
    fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(fields[name], 16) == 0
    for name in ("SigBlk", "SigIgn"):
        assert int(fields[name], 16) & ~OF_THE_C_LIBRARY == 0


def test_it_gets_a_clean_environment(commands: Commands) -> None:
    seen = commands.run("environment", environment={"OPENSHIFT_APP_NAME": "a b"})
    found = dict(line.split("=", 1) for line in seen.output.splitlines())
    assert found.keys() == {"PATH", "HOME", "USER", "LOGNAME", "LANG", "OPENSHIFT_APP_NAME"}
    assert found["OPENSHIFT_APP_NAME"] == "a b"
    refused = commands.run("environment", environment={"LD_PRELOAD": "/tmp/x.so"}).refused
    assert refused.reason == "environment"


def test_it_gets_three_descriptors(commands: Commands) -> None:
    lines = commands.run("descriptors").output.splitlines()
    numbers = [line.split(" -> ")[0].split()[-1] for line in lines if " -> " in line]
    assert numbers == ["0", "1", "2", "3"]  # the last is the folder that ls reads
    assert lines[-1] == "/dev/null"
    assert commands.run("again").output == "again\n"  # another user's pipe, opened anew


def test_it_has_limits_and_others_go_first(commands: Commands) -> None:
    limits = commands.run("limits", timeout_seconds=3).output
    found = {line[:25].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
    assert found["Max cpu time"] == ["5", "5"]
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max address space"] == [str(4 << 30)] * 2
    assert found["Max processes"] == ["4096", "4096"]
    assert found["Max file size"] == [str(1 << 30)] * 2
    fields = commands.run("stat").output.rpartition(")")[2].split()
    group, session, nice = fields[2], fields[3], fields[16]
    assert group == session
    assert int(nice) == max(os.nice(0), 10)


def test_it_runs_where_it_is_told(commands: Commands, folder: Path) -> None:
    assert commands.run("where", directory=str(folder)).output == f"{folder}\n0077\n"
    refused = commands.run("where", directory="/no/such/place").refused
    assert refused.reason == "not_started"
    assert "its directory: No such file or directory" in refused.text


@as_root
def test_root_does_not_go_where_the_user_may_not(commands: Commands, folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    refused = commands.run("where", directory=str(closed)).refused
    assert "its directory: Permission denied" in refused.text


def test_a_program_that_is_not_there_is_one_line(commands: Commands) -> None:
    refused = commands.run("missing").refused
    assert (refused.reason, refused.text) == (
        "untrusted",
        "/no/such/program: No such file or directory",
    )


def test_a_late_program_is_told_first(commands: Commands) -> None:
    seen = commands.run("polite", timeout_seconds=0.3)
    assert seen.output == "told\n"
    assert seen.ended.timed_out
    assert seen.ended.exit_code == 0
    assert seen.ended.duration_seconds >= 0.3


def test_a_grandchild_that_hears_nothing_ends_too(commands: Commands, open_folder: Path) -> None:
    """A grandchild that ignores SIGTERM, has called setsid, and holds the pipe."""
    _, output, errors = commands.ask("stubborn", timeout_seconds=1)
    pids = numbers_in(open_folder / "pids", 2)
    ended = commands.asker.answer()
    assert isinstance(ended, protocol.Ended)
    assert ended.timed_out
    assert ended.exit_code == -signal.SIGKILL
    assert ended.duration_seconds >= 1.5
    gone(*pids)
    for fd in (output, errors):
        assert os.read(fd, 1) == b""  # nobody holds it any more


def test_a_daemon_ends_with_the_program_that_left_it(commands: Commands, open_folder: Path) -> None:
    assert commands.run("daemon").ended.exit_code == 0
    gone(*numbers_in(open_folder / "pids", 1))


def test_a_whole_family_ends(commands: Commands, open_folder: Path) -> None:
    """Five daemons, each with a session of its own and a child."""
    commands.ask("family", timeout_seconds=2)
    pids = numbers_in(open_folder / "pids", 5)
    assert isinstance(commands.asker.answer(), protocol.Ended)
    gone(*pids)


def test_a_run_is_ended_when_that_is_asked_for(commands: Commands, open_folder: Path) -> None:
    number, _, _ = commands.ask("sleep")
    [pid] = numbers_in(open_folder / "pids", 1)
    commands.asker.socket.send(protocol.encode(protocol.Stop(number + 1000)))  # another's
    assert is_running(pid)
    commands.asker.socket.send(protocol.encode(protocol.Stop(number)))
    ended = commands.asker.answer()
    assert isinstance(ended, protocol.Ended)
    assert (ended.id, ended.exit_code, ended.timed_out) == (number, -signal.SIGKILL, False)


def test_when_the_gatherer_goes_its_runs_end(commands: Commands, open_folder: Path) -> None:
    commands.ask("stubborn")
    commands.ask("sleep")
    pids = numbers_in(open_folder / "pids", 3)
    spawner = commands.asker.worker
    commands.asker.socket.close()
    gone(*pids, spawner)
    assert commands.asker.process.wait(asking.SECONDS) == 0


@pytest.mark.parametrize("who", ["spawner", "guardian", "told"])
def test_a_spawner_that_is_killed_leaves_nothing(
    commands: Commands, open_folder: Path, who: str
) -> None:
    commands.ask("stubborn")
    commands.ask("sleep")
    commands.ask("family")
    pids = numbers_in(open_folder / "pids", 8)
    asker = commands.asker
    spawner, guardian = asker.worker, asker.process.pid
    os.kill(
        *{
            "spawner": (spawner, signal.SIGKILL),
            "guardian": (guardian, signal.SIGKILL),
            "told": (guardian, signal.SIGTERM),
        }[who]
    )
    gone(*pids, spawner)
    status = asker.process.wait(asking.SECONDS)
    assert status == {"spawner": 128 + signal.SIGKILL, "guardian": -signal.SIGKILL, "told": 0}[who]
    assert asker.socket.recv(1) == b""  # the gatherer sees it, too
    assert left_cgroups() == []


def test_no_more_run_at_once_than_may(folder: Path, open_folder: Path, mode: str) -> None:
    command = shell(f"echo $$ >> {open_folder}/pids; exec sleep 1000")
    most = "most_at_once = 3"
    with asking.spawner(config({"sleep": command}, f"{mode}\n{most}"), folder) as asker:
        for _ in range(5):
            asker.ask(command, USER)
        refusals = [asker.answer() for _ in range(2)]
        assert all(isinstance(each, protocol.Refused) for each in refusals)
        assert {each.reason for each in refusals if isinstance(each, protocol.Refused)} == {"busy"}
        pids = numbers_in(open_folder / "pids", 3)
        assert len(pids) == 3
    gone(*pids)


@pytest.fixture
def freezer() -> Iterator[Path]:
    """Yield a cgroup v1 that can be frozen: its processes do not even hear SIGKILL then.

    That stands in for a process that waits for a dead disk.
    """
    root = Path("/sys/fs/cgroup/freezer")
    if not os.access(root, os.W_OK) or not (root / "cgroup.procs").exists():
        pytest.skip("there is no freezer of cgroup v1 here")
    made = Path(tempfile.mkdtemp(prefix="shmetrics-test-", dir=root))
    yield made
    (made / "freezer.state").write_text("THAWED")
    until(lambda: not (made / "tasks").read_text(), lambda: "still there", asking.SECONDS)
    made.rmdir()


def test_a_start_that_takes_long_delays_no_deadline(
    folder: Path, open_folder: Path, slow_program: Path
) -> None:
    """Check that a late command has been told by the time the slow start is given up."""
    told = open_folder / "told"
    late = ["/bin/sh", "-c", f"trap 'touch {told}; exit' TERM; while :; do sleep 0.05; done"]
    commands = {"late": late, "slow": [str(slow_program)]}
    with asking.spawner(config(commands), folder) as asker:
        asker.ask(late, timeout_seconds=0.2)
        asker.ask([str(slow_program)])
        first = asker.answer()
        assert isinstance(first, protocol.Refused)
        assert first.reason == "slow_start"
        assert told.exists()
        ended = asker.answer()
        assert isinstance(ended, protocol.Ended)
        assert ended.timed_out


@pytest.fixture
def slow_program(folder: Path) -> Iterator[Path]:
    """Yield a program whose start waits, as on a disk that does not answer: for our lease."""
    program = folder / "slow"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    ignored = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with program.open("rb+") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield program
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    signal.signal(signal.SIGIO, ignored)


def test_one_that_cannot_be_ended_makes_room_for_others(
    folder: Path, open_folder: Path, freezer: Path
) -> None:
    sleep, short = shell(f"echo $$ >> {open_folder}/pids; exec sleep 1000"), ["/bin/true"]
    commands = {"sleep": sleep, "true": short}
    with asking.spawner(config(commands, "most_at_once = 1"), folder) as asker:
        number, _, _ = asker.ask(sleep, USER, timeout_seconds=2)
        [pid] = numbers_in(open_folder / "pids", 1)
        (freezer / "cgroup.procs").write_text(str(pid))
        (freezer / "freezer.state").write_text("FROZEN")
        assert asker.run(short, USER).refused.reason == "busy"
        assert asker.answer() == protocol.Stuck(number)
        assert asker.run(short, USER).ended.exit_code == 0
        (freezer / "freezer.state").write_text("THAWED")
        ended = asker.answer()
        assert isinstance(ended, protocol.Ended)
        assert (ended.id, ended.timed_out) == (number, True)
        assert ended.exit_code in (-signal.SIGTERM, -signal.SIGKILL)  # both wait for it by now


def test_cgroups_are_used_again_and_removed(folder: Path, mode: str) -> None:
    command = shell("tail -n 1 /proc/self/cgroup")
    with asking.spawner(config({"cgroup": command}, mode), folder) as asker:
        found = {asker.run(command, USER).output for _ in range(20)}
        assert len(found) == 1
        assert ("shmetrics-probes" in found.pop()) == (mode == "cgroups = true")
    assert left_cgroups() == []


@as_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="this needs util-linux's setpriv")
def test_root_needs_four_capabilities(folder: Path, open_folder: Path) -> None:
    """The bounding set that the systemd unit gives it."""
    command = shell(f"id -u; cd {open_folder}; setsid sh -c 'echo $$ >> pids; sleep 1000' & wait")
    bounding = "-all,+setuid,+setgid,+kill,+dac_read_search"
    wrapper = ["setpriv", "--bounding-set", bounding, "--inh-caps", "-all"]
    with asking.spawner(config({"id": command}, "cgroups = false"), folder, wrapper) as asker:
        seen = asker.run(command, timeout_seconds=1)
        assert seen.output == f"{NOBODY}\n"
        assert seen.ended.timed_out
        gone(*numbers_in(open_folder / "pids", 1))


@as_root
def test_root_runs_only_if_that_is_allowed(folder: Path) -> None:
    command = ["/usr/bin/id", "-u"]
    with asking.spawner(config({"id": command}, user=0), folder) as asker:
        refused = asker.run(command, 0).refused
        assert refused.reason == "root"
        assert (
            refused.text
            == "/usr/bin/id: root runs no probe; name a user, or see spawner.allow_root"
        )
    with asking.spawner(config({"id": command}, "allow_root = true", 0), folder) as asker:
        assert asker.run(command, 0).output == "0\n"


@pytest.mark.parametrize(
    "packet",
    [
        b"nonsense",
        protocol.encode(protocol.Run(1, 1, ["/bin/true"], "/", {}, 1.0)),  # without its pipes
        b"x" * (protocol.MESSAGE_MAX_BYTES + 1),
    ],
)
def test_a_gatherer_that_talks_nonsense_is_cut_off(folder: Path, packet: bytes) -> None:
    with asking.spawner(config({}), folder) as asker:
        asker.socket.send(packet)
        assert asker.socket.recv(1) == b""


@pytest.mark.parametrize(
    "packet",
    [
        protocol.encode(protocol.Run(1, USER, ["/bin/true"], "/", {}, 1.0)),
        protocol.encode(protocol.Stop(1)),
        b"nonsense",
    ],
)
@pytest.mark.parametrize("count", [1, 3, 40])
def test_descriptors_that_are_not_wanted_are_closed(
    folder: Path, packet: bytes, count: int
) -> None:
    reads, writes = zip(*(os.pipe() for _ in range(count)), strict=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = str(folder / "spawner.sock")
    with listener, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        listener.settimeout(asking.SECONDS)
        listener.bind(path)
        listener.listen()
        sock.connect(path)
        connection = Connection(listener.accept()[0])
        socket.send_fds(sock, [packet], writes)
        for fd in writes:
            os.close(fd)
        with pytest.raises(protocol.ProtocolError):
            connection.receive()
        for fd in reads:
            assert os.read(fd, 1) == b""  # nobody holds the other end
            os.close(fd)
        connection.close()


def test_descriptors_have_to_be_pipes(folder: Path) -> None:
    wish = protocol.Run(1, USER, ["/bin/true"], "/", {}, 1.0)
    with asking.spawner(config({}), folder) as asker, open("/etc/passwd") as file:
        socket.send_fds(asker.socket, [protocol.encode(wish)], [file.fileno(), file.fileno()])
        assert asker.socket.recv(1) == b""


def is_free(path: Path) -> bool:
    """Tell whether no spawner has locked a directory."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def left_cgroups() -> list[str]:
    """Return the cgroups of spawners that nobody has locked, once those that die are gone."""
    parent = run_cgroups.own_cgroup()
    if parent is None:
        return []

    def left() -> list[str]:
        run_cgroups.remove_left_behind(parent)
        return [str(each) for each in Path(parent).glob(f"{run_cgroups.NAME}*") if is_free(each)]

    until(lambda: not left(), left, asking.SECONDS)
    return left()
