# SPDX-License-Identifier: Apache-2.0
"""Stock oslo.messaging services on the private broker, in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.collector import Collector
from tests.servers.processes import ServerProcess
from tests.servers.rabbitmq import RabbitMQ

__all__ = ["SWITCHED_ON", "ConfigFile", "Do", "Start", "config_file", "do", "start", "stop"]

SERVICE = Path(__file__).with_name("service.py")
ROOT = Path(__file__).parents[2]

# A program in a Python that has shmetrics installed: with what Python finds beside packages.
INSTALLED = """
import runpy, site, sys
site.addsitedir(sys.argv[1])
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What switches shmetrics on in a service whose configuration says nothing about it.
SWITCHED_ON: Mapping[str, str] = {"SHMETRICS_OSLO_MESSAGING": "1"}
NOTHING: Mapping[str, str] = {}

ConfigFile = Callable[..., Path]
Start = Callable[..., ServerProcess]
Do = Callable[..., list[Any]]


@pytest.fixture
def config_file(tmp_path: Path, rabbitmq: RabbitMQ) -> ConfigFile:
    """Return `config_file(name, **options)`, which writes a service's configuration."""

    def write(name: str, **options: object) -> Path:
        options = {"transport_url": f"shmetrics+{rabbitmq.url}", **options}
        lines = [f"{key} = {value}" for key, value in options.items()]
        path = tmp_path / f"{name}.conf"
        path.write_text(
            "\n".join(
                ["[DEFAULT]", *lines, "[oslo_messaging_notifications]", "driver = messagingv2", ""]
            )
        )
        return path

    return write


def environment(collector: Collector, process: str, more: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment; its process label is `process`, or the default if that is
    empty."""
    env = {**os.environ, "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir), **more}
    env.pop("SHMETRICS_PROCESS", None)
    return env | ({"SHMETRICS_PROCESS": process} if process else {})


def command(config: Path, role: str, parameters: Any) -> list[str]:
    """Return the command line of a service."""
    program = [sys.executable, "-c", INSTALLED, str(ROOT), str(SERVICE)]
    return [*program, str(config), role, json.dumps(parameters)]


@pytest.fixture
def start(tmp_path: Path, collector: Collector) -> Iterator[Start]:
    """Yield `start(process, config, role, env, **parameters)`, which starts a server or a
    listener."""
    started: list[ServerProcess] = []

    def start(
        process: str,
        config: Path,
        role: str,
        env: Mapping[str, str] = NOTHING,
        **parameters: Any,
    ) -> ServerProcess:
        log = tmp_path / f"service-{len(started)}.log"
        env = environment(collector, process, env)
        server = ServerProcess(command(config, role, parameters), log, env)
        started.append(server)
        server.ready_when(lambda: "ready\n" in log.read_text(), 60)
        return server

    yield start
    stop(started)


def stop(servers: Iterable[ServerProcess]) -> list[int]:
    """Stop them together, which takes as long as the slowest; return their exit statuses."""
    servers = list(servers)
    for server in servers:
        server.terminate()
    return [server.stop() for server in servers]


@pytest.fixture
def do(collector: Collector) -> Do:
    """Return `do(process, config, target, steps, env)`, which runs a client to its end, for each
    step's result."""

    def do(
        process: str,
        config: Path,
        target: Any,
        steps: list[dict[str, Any]],
        env: Mapping[str, str] = NOTHING,
    ) -> list[Any]:
        ran = subprocess.run(
            command(config, "do", {"target": target, "steps": steps}),
            env=environment(collector, process, env),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    return do
