# SPDX-License-Identifier: Apache-2.0
"""Promise: the configurations of `packaging/engines/` do what they say.

A collector with TLS and passwords is scraped by a Prometheus, by a Prometheus in agent mode that
writes to it, and by a vmagent that writes to a VictoriaMetrics; all have the same numbers then.
The OpenTelemetry collector and Grafana Alloy are not here: of their files only the form is checked.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from shmetrics.dictionary import DEFAULT_BUCKETS
from tests.http.authority import PASSWORD, TLS, Authority, hashed, write
from tests.servers.collector import Collector
from tests.servers.patience import PATIENT
from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess, until

ENGINES = Path(__file__).parents[2] / "packaging" / "engines"
FOLDER = "/etc/prometheus/shmetrics"
URL = "https://metrics.example.org"
WRITER = "writer"

SERVICE = """
import sys
import shmetrics
from shmetrics import rpc
jobs = shmetrics.Counter("engine_jobs", "Jobs", ["queue"])
took = shmetrics.Histogram("engine_seconds", "Times", ["queue"])
for n in range(100):
    jobs.labels(f"q{n % 7}").inc(n)
    took.labels(f"q{n % 3}").observe(n / 10)
hanging = rpc.server_call(topic="compute", method="migrate").start(timeout_seconds=0.1)
print("done", flush=True)
sys.stdin.read()
"""

Samples = dict[frozenset[tuple[str, str]], float]


class Engine:
    """A server that answers PromQL over TLS, for a user with a password."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self._context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        token = base64.b64encode(f"{WRITER}:{PASSWORD}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}

    def get(self, path: str, **query: str) -> bytes:
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(address, headers=self._headers)
        with urllib.request.urlopen(request, timeout=10, context=self._context) as answer:
            return bytes(answer.read())

    def answers(self) -> bool:
        try:
            return bool(self.get("/api/v1/query", query="1"))
        except (urllib.error.URLError, OSError):
            return False

    def samples(self, expression: str) -> Samples:
        """Return the values of a query, without the labels that scraping adds."""
        found = json.loads(self.get("/api/v1/query", query=expression))["data"]["result"]
        added = ("instance", "job", "cluster")
        return {
            frozenset((k, v) for k, v in each["metric"].items() if k not in added): float(
                each["value"][1]
            )
            for each in found
        }


def written_for(name: str, folder: Path, write_url: str = "") -> Path:
    """Write a configuration of ours with this test's places and shorter times; return its path."""
    text = (ENGINES / name).read_text().replace(FOLDER, str(folder)).replace(URL, write_url)
    for interval in ("15s", "60s", "10s"):
        text = text.replace(f": {interval}", ": 1s")
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    Authority(folder).certify("server")
    for name in ("rules.yaml", "alerts.yaml"):
        shutil.copy(ENGINES.parents[1] / "mixin" / name, folder)
    for name in ("password", "writer-password"):
        (folder / name).write_text(PASSWORD)
    for name, user in (("collector.yml", "prometheus"), ("engine.yml", WRITER)):
        users = {"tls_server_config": TLS, "basic_auth_users": {user: hashed()}}
        write(folder / name, users).chmod(0o600)
    (folder / "server.key").chmod(0o600)
    return folder


@pytest.fixture
def recorded(runtime_dir: Path, folder: Path) -> Iterator[Collector]:
    """Yield a collector with a service that has recorded, and lives."""
    options = ["--web-config", str(folder / "collector.yml")]
    collector = Collector(runtime_dir, folder / "collector.log", options)
    service = subprocess.Popen(
        [sys.executable, "-c", PATIENT + SERVICE],
        env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(runtime_dir)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert service.stdout is not None
    assert service.stdout.readline() == b"done\n"
    target = collector.url.removeprefix("https://")
    (folder / "targets.json").write_text(json.dumps([{"targets": [target]}]))
    yield collector
    service.communicate()
    assert collector.stop() == 0


def prometheus(folder: Path, port: int, config: Path, *features: str) -> list[str]:
    return [
        "prometheus",
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *features,
    ]


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "vmagent", "victoria-metrics"))),
    reason="Prometheus or VictoriaMetrics is not installed",
)
def test_all_engines_have_the_same_numbers(recorded: Collector, folder: Path) -> None:
    with ExitStack() as stack:
        ports = [ReservedPort() for _ in range(4)]
        for port in ports:
            stack.callback(port.release)
        server_port, agent_port, store_port, vmagent_port = (port.number for port in ports)

        def start(name: str, command: list[str]) -> ServerProcess:
            process = ServerProcess(command, folder / f"{name}.log")
            stack.callback(process.stop)
            return process

        server, store = Engine(folder, server_port), Engine(folder, store_port)
        start(
            "prometheus",
            prometheus(
                *(folder, server_port, written_for("prometheus.yml", folder)),
                f"--web.config.file={folder / 'engine.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--web.enable-remote-write-receiver",
            ),
        ).ready_when(server.answers, 30)
        start(
            "victoria-metrics",
            [
                "victoria-metrics",
                f"-httpListenAddr=127.0.0.1:{store_port}",
                f"-storageDataPath={folder / 'vm'}",
                "-search.latencyOffset=0s",
                "-tls",
                f"-tlsCertFile={folder / 'server.crt'}",
                f"-tlsKeyFile={folder / 'server.key'}",
                f"-httpAuth.username={WRITER}",
                f"-httpAuth.password={PASSWORD}",
            ],
        ).ready_when(store.answers, 30)
        start(
            "agent",
            prometheus(
                *(folder, agent_port, written_for("prometheus-agent.yml", folder, server.url)),
                "--enable-feature=agent",
                f"--storage.agent.path={folder / 'agent'}",
            ),
        )
        start(
            "vmagent",
            [
                "vmagent",
                f"-promscrape.config={written_for('vmagent.yml', folder)}",
                f"-httpListenAddr=127.0.0.1:{vmagent_port}",
                f"-remoteWrite.tmpDataPath={folder / 'vmagent'}",
                f"-remoteWrite.url={store.url}/api/v1/write",
                f"-remoteWrite.tlsCAFile={folder / 'ca.crt'}",
                f"-remoteWrite.basicAuth.username={WRITER}",
                f"-remoteWrite.basicAuth.passwordFile={folder / 'writer-password'}",
            ],
        )
        names = '__name__=~"engine_.*|shmetrics_rpc_(in_flight|overdue)"'

        def seen() -> list[Samples]:
            store.get("/internal/force_flush")
            return [
                server.samples(f'{{{names},cluster=""}}'),
                server.samples(f'{{{names},cluster="cluster-1"}}'),
                store.samples(f'{{{names},cluster="cluster-1"}}'),
            ]

        wanted = expected()

        def are_equal() -> bool:
            return all(
                {k: v for k, v in found.items() if ("__name__", "engine_seconds_sum") not in k}
                == wanted
                for found in seen()
            )

        until(are_equal, lambda: [found.items() ^ wanted.items() for found in seen()], 60)
        assert server.samples('sum(up{cluster=""})') == {frozenset(): 2.0}  # two jobs


def expected() -> Samples:
    """Return what the service has recorded, as plain Python counts it."""
    node = ("hostname", os.uname().nodename)
    found: Samples = {}

    def put(name: str, value: float, **labels: str) -> None:
        found[frozenset({("__name__", name), node, *labels.items()})] = value

    for queue in range(7):
        put("engine_jobs_total", sum(range(queue, 100, 7)), queue=f"q{queue}")
    for queue in range(3):
        values = [n / 10 for n in range(queue, 100, 3)]
        put("engine_seconds_count", len(values), queue=f"q{queue}")
        for bound in DEFAULT_BUCKETS:
            below = sum(value <= bound for value in values)
            put("engine_seconds_bucket", below, queue=f"q{queue}", le=repr(float(bound)))
        put("engine_seconds_bucket", len(values), queue=f"q{queue}", le="+Inf")
    for name in ("in_flight", "overdue"):
        put(f"shmetrics_rpc_{name}", 1, side="server", topic="compute", method="migrate")
    return found


# ---- the form of all files -----------------------------------------------------------------------


def documents() -> dict[str, Any]:
    return {path.name: yaml.safe_load(path.read_text()) for path in ENGINES.glob("*.y*ml")}


def test_all_have_the_same_jobs() -> None:
    jobs = [
        document["receivers"]["prometheus"]["config"]["scrape_configs"]
        if "receivers" in document
        else document["scrape_configs"]
        for document in documents().values()
    ]
    assert len(jobs) == 4
    assert all(each == jobs[0] for each in jobs)
    alloy = (ENGINES / "config.alloy").read_text()
    for job in jobs[0]:
        assert f'"{job["job_name"]}"' in alloy
        assert f"= {job['sample_limit']}\n" in alloy
        for name in job["params"].get("name[]", ()):
            assert f'"{name}"' in alloy
    assert f'"{jobs[0][1]["metric_relabel_configs"][0]["regex"]}"' in alloy


def test_pipelines_name_what_is_there() -> None:
    otel = documents()["otel-collector.yaml"]
    for pipeline in otel["service"]["pipelines"].values():
        assert set(pipeline["receivers"]) <= otel["receivers"].keys()
        assert set(pipeline["exporters"]) <= otel["exporters"].keys()
    assert set(otel["service"]["extensions"]) == otel["extensions"].keys()
    alloy = (ENGINES / "config.alloy").read_text()
    assert all(alloy.count(one) == alloy.count(other) for one, other in ("{}", "[]"))
