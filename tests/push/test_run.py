# SPDX-License-Identifier: Apache-2.0
"""`shmetrics run`, `shmetrics push`: a program behaves as alone, and its metrics are recorded."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import IO, Any

import pytest

from tests.servers.collector import Collector, collector
from tests.servers.leftovers import runtime_dir
from tests.servers.patience import until

__all__ = ["collector", "runtime_dir"]

SHMETRICS = (sys.executable, "-m", "shmetrics")
SECONDS = 60


def run(*command: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `shmetrics run -- COMMAND` to its end."""
    return subprocess.run(
        [*SHMETRICS, "run", "--", *command],
        **{"capture_output": True, "timeout": SECONDS, "check": False, **more},
    )


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit(255)", 255),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9),
        ("import os; os.abort()", 128 + 6),
    ],
)
def test_the_exit_status_is_the_programs(code: str, status: int) -> None:
    done = run(*python(code))
    assert (done.returncode, done.stdout) == (status, b"")


@pytest.mark.parametrize(
    ("command", "status", "what"),
    [
        ("no-such-program", 127, "no-such-program: no such program; is it in $PATH?"),
        ("/etc/passwd", 126, "/etc/passwd: Permission denied"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line(command: str, status: int, what: str) -> None:
    done = run(command)
    assert (done.returncode, done.stderr.decode()) == (status, f"shmetrics: {what}\n")


BYTES = """
import hashlib, os, random
both = random.Random(7)
sums = [hashlib.sha256(), hashlib.sha256()]
for _ in range(400):
    which = both.randrange(2)
    line = bytes(both.randrange(256) for _ in range(both.randrange(50)))
    part = both.choice([line, b"a=1\\n", b"type=metric x=", b"\\n", line * 900])
    sums[which].update(part)
    while part:
        part = part[os.write(1 + which, part):]
open(os.environ["SUMS"], "w").write(" ".join(one.hexdigest() for one in sums))
"""


def test_both_streams_are_handed_on_byte_for_byte(tmp_path: Path) -> None:
    sums = tmp_path / "sums"
    done = run(*python(BYTES), env={**os.environ, "SUMS": str(sums)})
    found = [hashlib.sha256(stream).hexdigest() for stream in (done.stdout, done.stderr)]
    assert found == sums.read_text().split()


def test_on_one_descriptor_both_keep_their_order() -> None:
    code = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)"
    done = run(
        *python(code), capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.stdout.split() == [b"%d" % n for n in range(2000)]


def started(code: str, **more: Any) -> subprocess.Popen[bytes]:
    """Start a program that prints a line when it is ready, and wait for that."""
    process = subprocess.Popen(
        [*SHMETRICS, "run", "--", *python(code)], stdout=subprocess.PIPE, **more
    )
    assert out_of(process).readline() == b"ready\n"
    return process


def out_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


HEARS = """
import signal
numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
print(signal.sigwait(numbers).name, flush=True)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGQUIT"])
def test_a_signal_goes_to_the_program(name: str) -> None:
    process = started(HEARS)
    process.send_signal(signal.Signals[name])
    out, _ = process.communicate(timeout=SECONDS)
    assert (out.decode(), process.returncode) == (f"{name}\n", 0)


def test_a_signal_that_ends_the_program_is_in_the_status() -> None:
    process = started("import time; print('ready', flush=True); time.sleep(600)")
    process.terminate()
    process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGTERM


def test_the_program_begins_as_it_would_alone() -> None:
    """Check that no signal is blocked or ignored, and that no descriptor of ours is open in it."""
    # Python itself ignores SIGPIPE and SIGXFSZ, so other programs have to look.
    program = ("sh", "-c", "grep -E 'SigBlk|SigIgn' /proc/self/status; ls /proc/self/fd; env")
    alone = subprocess.run(program, capture_output=True, check=True).stdout.decode().split()
    _, blocked, _, ignored, *more = run(*program).stdout.decode().split()
    ours = 0x7FFFFFFF  # the others are the C library's own
    assert int(blocked, 16) & ours == int(alone[1], 16) & ours  # not 0 under nohup, for example
    assert int(ignored, 16) & ours == int(alone[3], 16) & ours
    assert more[:4] == ["0", "1", "2", "3"]  # the last is of ls, for the folder
    assert not any(word.startswith("SHMETRICS_PROCESS") for word in more)


def test_a_program_that_nobody_reads_gets_the_sigpipe() -> None:
    code = "import signal; signal.signal(13, signal.SIG_DFL)\nprint('ready', flush=True)\n"
    process = started(code + "while True: print('more', flush=True)")
    out_of(process).close()
    assert process.wait(SECONDS) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_hindrance(closed: str, tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m shmetrics run -- sh -c 'echo a=1; echo 2 >&2' {closed}"
    log = tmp_path / "log"
    with log.open("wb") as file:
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, log.read_text()
    assert sorted(log.read_text().split()) == [
        *([] if "2>&-" in closed else ["2"]),
        *([] if " >&-" in f" {closed}" else ["a=1"]),
    ]


def test_a_full_disk_is_said() -> None:
    with open("/dev/full", "wb") as full:
        done = run(
            "sh",
            "-c",
            "echo lost; exec sleep 0",
            stdout=full,
            stderr=subprocess.PIPE,
            capture_output=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"shmetrics: sh: its output was lost: No space left on device\n"


def test_a_daemon_that_is_left_behind_is_not_waited_for() -> None:
    done = run("sh", "-c", "sleep 600 & echo $!; echo last")
    pid, last = done.stdout.split()
    os.kill(int(pid), signal.SIGKILL)
    assert (last, done.returncode) == (b"last", 0)


def test_push_says_which_lines_it_refuses() -> None:
    lines = b"a=nan\nb=1 b=2\nordinary=text\na=inf\n"
    done = subprocess.run(
        [*SHMETRICS, "push"], input=lines, capture_output=True, timeout=SECONDS, check=True
    )
    assert done.stdout == lines
    assert done.stderr.decode().splitlines() == [
        "shmetrics push: refused as bad_value: 2 lines, the first: a: 'nan' is not a finite number",
        "shmetrics push: refused as repeated: 1 lines, the first: b is there twice",
    ]


@pytest.mark.parametrize("arguments", [(), ("--",), ("--unit", "x")])
def test_no_program_is_said(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [*SHMETRICS, "run", *arguments], capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 2
    assert done.stderr == b"shmetrics: no program is named; write shmetrics run -- COMMAND\n"


def test_a_gatherer_that_hangs_holds_up_no_program(tmp_path: Path) -> None:
    """Check it with one that answers a hello, and reads nothing after that."""
    code = "import os\nfor _ in range(200): os.write(1, b'hung.n=5 hung.m=6\\n' * 3000)"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / "lines.sock"))
        listening.listen()
        listening.settimeout(SECONDS)
        hello: list[bytes] = []
        ended = threading.Event()

        def hang() -> None:
            hangs, _ = listening.accept()
            with hangs:
                hello.append(hangs.recv(100))
                hangs.send(b"ok python")
                ended.wait(SECONDS)

        gatherer = threading.Thread(target=hang)
        gatherer.start()
        env = {**os.environ, "SHMETRICS_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(
            [*SHMETRICS, "run", "--", *python(code)],
            env=env,
            stdout=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
        ended.set()
        gatherer.join()
    assert hello == [b"hello"]
    assert done.returncode == 0
    assert done.stdout == b"hung.n=5 hung.m=6\n" * 600_000


def test_metrics_of_a_program_are_its_own(collector: Collector) -> None:
    """Check lines on both streams, in odd pieces, with others between, and without a last end."""
    code = (
        "import os\n"
        "os.write(1, b'type=met'); os.write(1, b'ric run.one=1\\nhello\\n' + b'x' * 70000)\n"
        "os.write(1, b'\\nrun.two=2 run.three=3\\nlevel=info run.never=4\\n')\n"
        "os.write(2, b'run.four=4')\n"
    )
    env = {**os.environ, "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir)}
    command = [*SHMETRICS, "run", "--unit", "backup", "--", *python(code)]
    subprocess.run(command, env=env, capture_output=True, timeout=SECONDS, check=True)
    pushed = [*SHMETRICS, "push"]
    lines = b"run.five=5\n\0\xff\nrun.six"
    done = subprocess.run(
        pushed, env=env, input=lines, capture_output=True, timeout=SECONDS, check=True
    )
    assert done.stdout == lines
    quiet = [*SHMETRICS, "push", "--quiet", "--unit", "nightly", "--typed"]
    done = subprocess.run(
        *(quiet,),
        env=env,
        input=b"run.six=6\ntype=metric run.seven=7\n",
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout == b""
    wanted = {
        f'run_{name}{{kind="program",unit="{unit}"}} {value}.0'
        for name, unit, value in (
            *(("one", "backup", 1), ("two", "backup", 2), ("three", "backup", 3)),
            *(("four", "backup", 4), ("five", "push", 5), ("seven", "nightly", 7)),
        )
    }
    until(lambda: wanted == shown(collector), lambda: str(shown(collector)), SECONDS)


def shown(collector: Collector) -> set[str]:
    """Return the samples that begin with run_, without the label of the node."""
    with urllib.request.urlopen(f"{collector.url}/metrics") as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if line.startswith("run_")]
    return {re.sub(r',?hostname="[^"]*",?', "", line) for line in lines}
