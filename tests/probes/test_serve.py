# SPDX-License-Identifier: Apache-2.0
"""Promise: `shmetrics spawner` listens for its gatherer alone, and each mistake is one line."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from shmetrics import cli
from shmetrics.probes.spawner import protocol
from tests.probes.asking import NOBODY, SECONDS, as_root
from tests.servers.processes import fork

COMMAND = [sys.executable, "-m", "shmetrics", "spawner", "--config"]


@contextmanager
def listening(folder: Path, more: str = "", wrapper: Sequence[str] = ()) -> Iterator[str]:
    """Start a spawner that listens, by the command `wrapper`; yield its socket."""
    path, config = folder / "spawner.sock", folder / "gather.toml"
    config.write_text(f'[spawner]\nsocket = "{path}"\n{more}')
    with subprocess.Popen(
        [*wrapper, *COMMAND, str(config)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"shmetrics spawner is ready: {path}\n".encode()
            yield str(path)
        finally:
            process.terminate()
            assert process.wait(SECONDS) == 0
    assert not path.exists()


def connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(SECONDS)
    sock.connect(path)
    return sock


def test_it_listens_and_answers_several_gatherers(folder: Path) -> None:
    with listening(folder) as path, connected(path) as one, connected(path) as other:
        assert os.stat(path).st_mode & 0o777 == 0o600
        for number, sock in enumerate((one, other)):
            read, write = os.pipe()
            wish = protocol.Run(number, NOBODY, ["/bin/true"], "/", {}, 1.0)
            socket.send_fds(sock, [protocol.encode(wish)], [write, write])
            os.close(write)
            answer = protocol.decode_answer(sock.recv(protocol.MESSAGE_MAX_BYTES))
            assert isinstance(answer, protocol.Refused)
            assert answer.id == number
            os.close(read)


@as_root
def test_it_lets_the_gatherer_s_user_connect(folder: Path) -> None:
    with listening(folder, f"user = {NOBODY}\n") as path:
        assert (os.stat(path).st_uid, os.stat(path).st_mode & 0o777) == (NOBODY, 0o600)
        assert answers_as(NOBODY, path)


@as_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="this needs util-linux's setpriv")
def test_it_talks_to_the_gatherer_s_user_alone(folder: Path) -> None:
    """Without CAP_CHOWN others can connect. They are cut off, and nothing is read of them."""
    wrapper = ["setpriv", "--bounding-set", "-chown"]
    with listening(folder, f"user = {NOBODY}\n", wrapper) as path:
        assert (os.stat(path).st_uid, os.stat(path).st_mode & 0o777) == (0, 0o666)
        assert answers_as(NOBODY, path)
        assert not answers_as(4711, path)


def answers_as(uid: int, path: str) -> bool:
    """Tell whether a spawner answers a user."""
    pid = fork()
    if pid == 0:
        try:
            os.setuid(uid)
            with connected(path) as sock:
                _, write = os.pipe()
                wish = protocol.encode(protocol.Run(1, NOBODY, ["/bin/true"], "/", {}, 1.0))
                socket.send_fds(sock, [wish], [write, write])
                os._exit(0 if sock.recv(protocol.MESSAGE_MAX_BYTES) else 1)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1)
    return status == 0


def test_it_takes_the_socket_that_systemd_has_made(folder: Path) -> None:
    path = str(folder / "passed.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        as_systemd = (
            f"import os, sys; os.dup2({listener.fileno()}, 3); "
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        with subprocess.Popen(
            [sys.executable, "-c", as_systemd, *COMMAND, ""],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"shmetrics spawner is ready: {path}\n".encode()
            with connected(path) as sock:
                sock.send(b"nonsense")
                assert sock.recv(1) == b""
            process.terminate()
            assert process.wait(SECONDS) == 0
    assert os.path.exists(path)  # it is systemd's


def test_it_tells_the_service_manager_when_it_is_ready(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(SECONDS)
        manager.bind(str(folder / "notify.sock"))
        with listening(folder, wrapper=["env", f"NOTIFY_SOCKET={folder}/notify.sock"]) as path:
            assert manager.recv(100) == b"READY=1"
            connected(path).close()


def test_a_second_one_leaves_the_first_alone(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with listening(folder) as path:
        assert subprocess.run([*COMMAND, str(folder / "gather.toml")]).returncode == 1
        assert capfd.readouterr().err == (
            f"shmetrics: spawner.socket: {path}: another process listens there; stop it, or use "
            "another path\n"
        )
        connected(path).close()


def test_the_socket_of_one_that_was_killed_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(str(folder / "spawner.sock"))
    with listening(folder) as path:
        connected(path).close()


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ('[spawner]\nsockt = "x"', "spawner.sockt: no such option; did you mean socket?"),
        ("[spawner]\nmost_at_once = 0", "spawner.most_at_once: 0 is not a whole number from 1 to"),
        ('[spawner]\nuser = "no-such-user"', "spawner.user: there is no user 'no-such-user' on"),
        ('[spawner]\ndirectories = ["x"]', "spawner.directories: 'x' is not the absolute path of"),
        ('[spawner]\ndirectories = ["/a/../b"]', "spawner.directories: '/a/../b' is not the"),
        ("[[gather.probe]]\nname = 'a'", "gather.probe[0].command: this option is required"),
        (
            "[[gather.probe]]\nname = 'a'\ncommand = ['true']",
            "gather.probe[0].command: ['true'] does not begin with the absolute path of a program",
        ),
        (
            "[[gather.probe]]\nname = 'a'\ncommand = ['/bin/true']\ninterval_seconds = 0",
            "gather.probe[0].interval_seconds: 0 is not a number from 1 to 86_400",
        ),
        (
            "[[gather.probe]]\nname='a'\ncommand=['/x']\ninterval_seconds=2\ntimeout_seconds=3",
            "gather.probe[0].timeout_seconds: 3 is longer than interval_seconds, 2",
        ),
        (
            "[[gather.probe]]\nname='a'\ncommand=['/x']\nuser='no-such-user'",
            "gather.probe[0].user: there is no user 'no-such-user' on this node",
        ),
        (
            "[[gather.probe]]\nname='a b'\ncommand=['/x']",
            "gather.probe[0].name: 'a b' is not ",
        ),
        ("gather = 3", "gather: 3 is not a table"),
        ("[", "this is not TOML: "),
    ],
)
def test_a_mistake_in_the_file_is_one_line(
    config: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gather.toml"
    path.write_text(config)
    assert cli.main(["spawner", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"shmetrics: {path}: {error}")
    assert said.count("\n") == 1


@as_root
def test_who_may_not_ask_may_not_start_it_either(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.seteuid(4711)  # whose socket it is then
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.seteuid(0)
    config = folder / "gather.toml"
    config.write_text(f"[spawner]\nuser = {NOBODY}\n")
    with ours, its:
        command = [*COMMAND, str(config), "--fd", str(its.fileno())]
        assert subprocess.run(command, pass_fds=[its.fileno()]).returncode == 1
    refused, error = capfd.readouterr().err.splitlines()
    assert refused.endswith("uid 4711 may not ask for commands; see spawner.user")
    assert error == "shmetrics: spawner.user: this is not who started the spawner"


@as_root
def test_root_takes_no_configuration_that_others_may_write(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = folder / "gather.toml"
    config.write_text("")
    config.chmod(0o664)
    assert cli.main(["spawner", "--config", str(config)]) == 2
    assert capsys.readouterr().err == (
        f"shmetrics: --config: {config}: others may write to it; chmod go-w {config}\n"
    )


def test_other_mistakes_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = folder / "gather.toml"
    taken = folder / "file"
    taken.touch()
    for text, arguments, status, error in (
        ("", ["--fd", "999"], 2, "--fd 999: Bad file descriptor"),
        ("", ["--fd", "0"], 2, "--fd 0: "),
        (
            f"[spawner]\nsocket = '{taken}'",
            [],
            1,
            f"spawner.socket: {taken}: this exists and is not",
        ),
        ("[spawner]\nsocket = '/no/such/x'", [], 1, "spawner.socket: /no/such/x: No such file"),
    ):
        config.write_text(text)
        assert cli.main(["spawner", "--config", str(config), *arguments]) == status
        said = capsys.readouterr().err
        assert said.startswith(f"shmetrics: {error}")
        assert said.count("\n") == 1
