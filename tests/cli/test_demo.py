# SPDX-License-Identifier: Apache-2.0
"""`shmetrics demo`: the whole product on an empty machine, and nothing left of it."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.patience import until
from tests.servers.rabbitmq import RabbitMQ

MOST_LINES = 2000
Demo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of the demo's files, and check that it is empty afterwards."""
    monkeypatch.setenv("TMPDIR", str(runtime_dir))
    yield runtime_dir
    assert os.listdir(runtime_dir) == []


@pytest.fixture
def start(folder: Path) -> Iterator[Demo]:
    """Start demos that go on until they are interrupted."""
    started: list[subprocess.Popen[str]] = []

    def start_demo(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "shmetrics", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_demo
    for process in started:
        if process.poll() is None:  # its test has failed
            process.terminate()
        process.communicate()


def read_until_called(process: subprocess.Popen[str], wanted: set[tuple[str, str]]) -> None:
    """Read figures until all of these sides and methods have been called."""
    assert process.stdout is not None
    missing = set(wanted)
    for _ in range(MOST_LINES):
        line = process.stdout.readline()
        assert line, f"the demo has ended; not yet seen: {missing}"
        row = re.match(r"(rpc \w+)\s+\w+\s+(\w+)\s+([\d.]+)", line)
        if row and float(row[3]) > 0:
            missing.discard((row[1], row[2]))
        if not missing:
            return
    raise AssertionError(f"never called: {missing}")


def interrupt(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "Traceback" not in out


BUILDS = {("rpc client", "build"), ("rpc server", "build")}


@pytest.mark.usefixtures("folder")
def test_it_ends_by_itself(command: Any) -> None:
    outcome = command("demo", "--seconds", "2")
    assert (outcome.status, outcome.err) == (0, "")
    assert re.match(r"open http://127\.0\.0\.1:\d+/ in a browser, ", outcome.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_figures_until_it_is_interrupted(start: Demo, number: int) -> None:
    process = start()
    assert process.stdout is not None
    found = re.search(r"http://\S+/metrics", process.stdout.readline())
    assert found is not None
    read_until_called(process, BUILDS | {("rpc client", "plug"), ("rpc server", "plug")})
    with urllib.request.urlopen(found[0], timeout=30) as answer:
        assert b'oslo_messaging_rpc_server_invocation_end_total{endpoint="' in answer.read()
    interrupt(process, number)


def test_over_a_broker_client_and_server_are_processes_of_their_own(
    start: Demo, rabbitmq: RabbitMQ
) -> None:
    process = start("--transport-url", rabbitmq.url)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    read_until_called(process, BUILDS)
    with urllib.request.urlopen(f"{url}api/v1/lanes", timeout=30) as answer:
        lanes = answer.read().decode()
    assert all(f'"process":"demo-{role}"' in lanes for role in ("client", "server"))
    interrupt(process, signal.SIGINT)


@pytest.mark.usefixtures("folder")
def test_a_service_that_cannot_start(command: Any) -> None:
    outcome = command("demo", "--seconds", "60", "--transport-url", "nonsense://x/")
    assert outcome.status == 1
    assert re.match(r"shmetrics: the demo's (server|client) ended: ", outcome.err)
    assert outcome.err.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_an_address_that_is_no_address(command: Any) -> None:
    outcome = command("demo", "--seconds", "60", "--listen", "nonsense")
    assert outcome == (
        1,
        "",
        "shmetrics: the demo's collector ended: --listen: 'nonsense' is not HOST:PORT "
        "with a port from 0 to 65535\n",
    )


@pytest.mark.usefixtures("folder")
def test_it_gathers_and_runs_a_probe(start: Demo) -> None:
    process = start("--seconds", "120")
    assert process.stdout is not None
    found = re.search(r"http://[0-9.]+:\d+", process.stdout.readline())
    assert found

    def text() -> str:
        with urllib.request.urlopen(f"{found[0]}/metrics", timeout=30) as answer:
            return str(answer.read(), "utf-8")

    until(lambda: "\nload_one{" in text(), lambda: text()[-2000:], 60)
    until(lambda: "\nscript_success{" in text(), lambda: text()[-2000:], 60)
    interrupt(process, signal.SIGINT)
