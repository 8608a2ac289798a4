# SPDX-License-Identifier: Apache-2.0
"""`shmetrics top`: plain in a pipe, in place on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.collector import Collector
from tests.servers.patience import PATIENT

SERVICE = """
import sys, time
from shmetrics import rpc
calls = [rpc.client_call(topic="compute", method=name) for name in ("build", "re\\x1b[2Jboot")]
hanging = rpc.server_call(topic="compute", method="migrate", server="host-a").start(
    {"trace_id": "0123456789abcdef0123456789abcdef"}, 0.25
)
print("begun", flush=True)
while True:
    for call in calls:
        try:
            with call():
                time.sleep(0.005)
                if call is calls[1]:
                    raise LookupError
        except LookupError:
            pass
"""


@pytest.fixture
def service(collector: Collector) -> Iterator[None]:
    """Start a process that calls, fails and hangs."""
    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT + SERVICE],
        env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"begun\n"
        yield
        process.terminate()
        process.wait()


def rows(text: str) -> dict[str, list[str]]:
    """Return figures by method, of a table as plain text."""
    methods = text.partition("\n\n")[0]
    lines = [re.split(r"\s{2,}", line.strip()) for line in methods.splitlines()]
    return {line[2]: [*line[:2], *line[3:]] for line in lines if len(line) == 10}


@pytest.mark.usefixtures("service")
def test_once(command: Any, collector: Collector) -> None:
    outcome = command(
        "top", "--once", "--interval", "0.5", "--runtime-dir", str(collector.runtime_dir)
    )
    assert (outcome.status, outcome.err) == (0, "")
    found = rows(outcome.out)
    assert set(found) == {"method", "build", "re?[2Jboot", "migrate"}
    build, reboot, migrate = found["build"], found["re?[2Jboot"], found["migrate"]
    assert build[:2] == ["rpc client", "compute"]
    assert float(build[2]) > 0
    assert build[-1] == "0.0"
    assert float(reboot[-1]) == pytest.approx(float(reboot[2]), abs=4.1)
    assert migrate[:4] == ["rpc server", "compute", "0.0", "1"]
    assert migrate[4].endswith(("s", "ms"))
    assert migrate[5:8] == ["1", "—", "—"]
    (hanging,) = (line for line in outcome.out.splitlines() if "its client has given up" in line)
    for cell in ("rpc server", "host-a", "250\u202fms", "01234567-89ab-cdef-0123-456789abcdef"):
        assert cell in hanging


@pytest.mark.usefixtures("service")
def test_in_a_pipe_tables_follow_one_another(collector: Collector) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "shmetrics", "top", "--interval", "0.2",
         "--runtime-dir", str(collector.runtime_dir)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as output, process.stderr as errors:
        heads = 0
        while heads < 3:
            line = output.readline()
            assert "\x1b" not in line
            heads += line.startswith("side")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert errors.read() == ""


@pytest.mark.usefixtures("service")
def test_on_a_terminal_the_table_is_renewed_in_place(collector: Collector) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "shmetrics", "top", "--interval", "0.2",
             "--runtime-dir", str(collector.runtime_dir)],
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        shown = ""
        deadline = time.monotonic() + 60
        while shown.count("migrate") < 2:
            assert time.monotonic() < deadline, shown
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536).decode("utf-8", "replace")
        process.send_signal(signal.SIGINT)
        while process.poll() is None:  # it must be able to write its last lines
            if select.select([ours], [], [], 0.05)[0]:
                shown += os.read(ours, 65536).decode("utf-8", "replace")
        assert process.returncode == 130
    finally:
        os.close(ours)
        os.close(theirs)
    assert collector.url in shown
    assert "\x1b[?1049h" in shown  # the alternate screen, and back
    assert shown.rindex("\x1b[?1049l") > shown.rindex("\x1b[?1049h")
    assert "Traceback" not in shown


def test_no_calls_yet(command: Any, collector: Collector) -> None:
    outcome = command(
        "top", "--once", "--interval", "0.1", "--runtime-dir", str(collector.runtime_dir)
    )
    assert outcome == (0, "no calls yet\n", "")


def test_no_collector(command: Any, tmp_path: Path) -> None:
    outcome = command("top", "--once", "--runtime-dir", str(tmp_path))
    assert outcome.status == 1
    assert outcome.err.startswith(f"shmetrics: {tmp_path}: no collector serves here; ")
