# SPDX-License-Identifier: Apache-2.0
"""`shmetrics collector` as an operator meets it: it says it is ready, or in one line why not."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.servers.collector import Collector
from tests.servers.processes import until


def metrics(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def datagram(name: str, action: str, value: float | None = None, **labels: object) -> bytes:
    return json.dumps(
        {
            "module": "oslo_messaging",
            "name": name,
            "action": {"action": action, "value": value},
            "labels": labels,
        }
    ).encode()


def test_it_says_where_it_serves(runtime_dir: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    collector = Collector(runtime_dir, log)
    try:
        reach = "this node only; no TLS, no passwords"
        assert log.read_text() == f"shmetrics collector is ready: {collector.url} ({reach})\n"
        announced = json.loads((runtime_dir / "collector.json").read_text())
        assert announced["url"] == collector.url
    finally:
        assert collector.stop() == 0
    assert not (runtime_dir / "collector.json").exists()
    assert log.read_text().count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_well(runtime_dir: Path, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "shmetrics", "collector", "--listen", "127.0.0.1:0"],
        env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(runtime_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline().startswith("shmetrics collector is ready: http://127.0.0.1:")
        process.send_signal(number)
        assert output.read() == ""
    assert process.wait(30) == 0


def test_a_file_and_flags(command: Any, runtime_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "shmetrics.toml"
    path.write_text(
        f'listen = "not this one"\nruntime_dir = "{runtime_dir}"\n'
        'constant_labels = { rack = "r7" }\n'
    )
    collector = Collector(runtime_dir, tmp_path / "log", ["--config", str(path)])
    try:
        assert 'rack="r7"' in metrics(collector.url)
    finally:
        assert collector.stop() == 0


def test_an_unknown_option(command: Any, tmp_path: Path) -> None:
    path = tmp_path / "shmetrics.toml"
    path.write_text("[lane]\nrecord = 64\n")
    outcome = command("collector", "--config", str(path))
    assert outcome == (
        2, "", f"shmetrics: {path}: lane.record: no such option; did you mean records?\n"
    )  # fmt: skip


def test_a_port_in_use(command: Any, runtime_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        outcome = command("collector", "--runtime-dir", str(runtime_dir), "--listen", address)
    assert outcome == (
        1,
        "",
        f"shmetrics: {address}: address already in use; choose another address with --listen\n",
    )  # fmt: skip


def test_a_directory_of_another_collector(command: Any, collector: Collector) -> None:
    outcome = command(
        "collector", "--runtime-dir", str(collector.runtime_dir), "--listen", "127.0.0.1:0"
    )
    assert outcome.status == 1
    assert outcome.err.startswith(f"shmetrics: {collector.runtime_dir}: in use by another collect")
    assert outcome.err.count("\n") == 1


def test_a_directory_that_cannot_be_made(command: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "run")
    outcome = command("collector", "--runtime-dir", path, "--listen", "127.0.0.1:0")
    assert outcome.status == 1
    assert outcome.err.startswith(f"shmetrics: {path}: ")
    assert outcome.err.count("\n") == 1


def test_stock_datagrams_become_metrics(runtime_dir: Path, tmp_path: Path) -> None:
    path = runtime_dir / "stock.sock"
    collector = Collector(runtime_dir, tmp_path / "log", ["--oslo-metrics-socket", str(path)])
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(path))
            for _ in range(3):
                sender.send(datagram("rpc_client_invocation_start_total", "inc", topic="compute"))
            sender.send(datagram("rpc_server_processing_seconds", "observe", 0.3, topic="network"))
            sender.send(b"{")
        until(lambda: 'result="taken"' in metrics(collector.url), lambda: "not counted", 20)
        lines = metrics(collector.url).splitlines()
    finally:
        assert collector.stop() == 0
    assert not path.exists()

    def value(name: str, *parts: str) -> list[str]:
        return [
            line.rpartition(" ")[2]
            for line in lines
            if line.startswith(name + "{") and all(part in line for part in parts)
        ]

    start = "oslo_messaging_rpc_client_invocation_start_total"
    assert value(start, 'topic="compute"', 'method=""') == ["3.0"]
    assert value("oslo_messaging_rpc_server_processing_seconds_sum", 'topic="network"') == ["0.3"]
    assert 'result="taken"} 4.0' in "\n".join(lines)
    assert 'result="not_json"} 1.0' in "\n".join(lines)


def test_an_oslo_metrics_file_as_it_stands(runtime_dir: Path, tmp_path: Path) -> None:
    path = runtime_dir / "stock.sock"
    file = tmp_path / "oslo-metrics.conf"
    file.write_text(
        f"[oslo_metrics]\nmetrics_socket_file = {path}\nmetrics_socket_perm = 384\n"
        "prometheus_host = 192.0.2.1\n"
    )
    collector = Collector(runtime_dir, tmp_path / "log", ["--oslo-config", str(file)])
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        assert collector.stop() == 0


def test_a_stock_socket_that_somebody_listens_on(command: Any, runtime_dir: Path) -> None:
    path = str(runtime_dir / "stock.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as alive:
        alive.bind(path)
        outcome = command(
            "collector", "--runtime-dir", str(runtime_dir), "--listen", "127.0.0.1:0",
            "--oslo-metrics-socket", path,
        )  # fmt: skip
    assert outcome == (
        1, "", f"shmetrics: {path}: another process listens there; stop it, or use another path\n"
    )  # fmt: skip
