# SPDX-License-Identifier: Apache-2.0
"""Promise: what services record is the same in every engine, whichever way it took.

A collector with TLS and passwords is scraped by a Prometheus, by a Prometheus in agent mode that
writes to it, and by a vmagent that writes to a VictoriaMetrics, each with its configuration of
`packaging/engines/`. The collector writes to both stores by itself as well. All five have the same
numbers then. Prometheus finds the collector in the file that `shmetrics targets` writes, the agent
and vmagent find it by asking `shmetrics targets` (http_sd). The OpenTelemetry collector and Grafana
Alloy are not here: of their files only the form is checked.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from shmetrics import cli
from shmetrics.dictionary import DEFAULT_BUCKETS
from tests.http.authority import PASSWORD, TLS, Authority, hashed, write
from tests.servers.collector import Collector
from tests.servers.patience import PATIENT
from tests.servers.ports import ReservedPort
from tests.servers.processes import Forked, ServerProcess, until

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
    try:
        with rpc.client_call(topic="compute", method=f"m{n % 2}")():
            if n % 5 == 0:
                raise LookupError
    except LookupError:
        pass
hanging = rpc.server_call(topic="compute", method="migrate").start(timeout_seconds=0.001)
print("done", flush=True)
sys.stdin.read()
"""

Samples = dict[frozenset[tuple[str, str]], float]


#: How each engine gets what is compared, by the label `cluster` of the samples.
SCRAPED, WRITTEN_BY_AGENT, WRITTEN_BY_US = "", "cluster-1", "forwarded"
#: Families that stand still once the service has recorded.
COMPARED = "engine_.*|oslo_messaging_.*|shmetrics_rpc_(in_flight|overdue)"


class Client:
    """A client of a server with TLS, for a user with a password."""

    def __init__(self, folder: Path, url: str, user: str) -> None:
        self.url = url
        self._context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        token = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}

    def get(self, path: str, **query: str) -> bytes:
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(address, headers=self._headers)
        with urllib.request.urlopen(request, timeout=10, context=self._context) as answer:
            return bytes(answer.read())


class Engine(Client):
    """A server that answers PromQL."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, f"https://127.0.0.1:{port}", WRITER)
        self.port = port

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

    def compared(self, cluster: str) -> Samples:
        """Return the values of what is compared."""
        return self.samples(f'{{__name__=~"{COMPARED}",cluster="{cluster}"}}')


class Stores(NamedTuple):
    """The two engines that keep samples."""

    prometheus: Engine
    victoria: Engine


def written_for(name: str, folder: Path, write_url: str = "", discovery_url: str = "") -> Path:
    """Write a configuration of ours with this test's places and shorter times; return its path."""
    text = (ENGINES / name).read_text()
    if discovery_url:
        text, n = re.subn(
            r"file_sd_configs:\n( +)- files: .*",
            rf"http_sd_configs:\n\1- url: {discovery_url}",
            text,
        )
        assert n == 2  # of each job
    text = text.replace(FOLDER, str(folder)).replace(URL, write_url)
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


def prometheus(folder: Path, port: int, config: Path, *features: str) -> list[str]:
    return [
        "prometheus",
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *features,
    ]


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[str, list[str]], ServerProcess]]:
    """Yield `start(name, command)`, which starts a server until the end of the test."""
    with ExitStack() as stack:

        def started(name: str, command: list[str]) -> ServerProcess:
            process = ServerProcess(command, folder / f"{name}.log")
            stack.callback(process.stop)
            return process

        yield started


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Yield four ports."""
    reserved = [ReservedPort() for _ in range(4)]
    yield [port.number for port in reserved]
    for port in reserved:
        port.release()


@pytest.fixture
def stores(folder: Path, start: Any, ports: list[int]) -> Stores:
    """Start a Prometheus that scrapes and takes remote write, and a VictoriaMetrics."""
    server, store = Engine(folder, ports[0]), Engine(folder, ports[1])
    first = start(
        "prometheus",
        prometheus(
            *(folder, server.port, written_for("prometheus.yml", folder)),
            f"--web.config.file={folder / 'engine.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            "--web.enable-remote-write-receiver",
        ),
    )
    second = start(
        "victoria-metrics",
        [
            "victoria-metrics",
            f"-httpListenAddr=127.0.0.1:{store.port}",
            f"-storageDataPath={folder / 'vm'}",
            "-search.latencyOffset=0s",
            "-tls",
            f"-tlsCertFile={folder / 'server.crt'}",
            f"-tlsKeyFile={folder / 'server.key'}",
            f"-httpAuth.username={WRITER}",
            f"-httpAuth.password={PASSWORD}",
        ],
    )
    first.ready_when(server.answers, 30)
    second.ready_when(store.answers, 30)
    return Stores(server, store)


def forwarded_to(folder: Path, stores: Stores) -> Path:
    """Write a configuration that sends the node's metrics to both stores; return its path."""
    path = folder / "collector.toml"
    path.write_text(
        "".join(
            f"""
[[metrics.forward]]
to = "remote-write+{each.url}/api/v1/write"
interval_seconds = 1
labels = {{ cluster = "{WRITTEN_BY_US}" }}
username = "{WRITER}"
password_file = "{folder / "writer-password"}"
ca_file = "{folder / "ca.crt"}"
"""
            for each in stores
        )
    )
    return path


@pytest.fixture
def recorded(runtime_dir: Path, folder: Path, stores: Stores) -> Iterator[Collector]:
    """Yield a collector with a service that has recorded, and lives."""
    options = ["--web-config", str(folder / "collector.yml")]
    options += ["--config", str(forwarded_to(folder, stores))]
    collector = Collector(runtime_dir, folder / "collector.log", options)
    service = subprocess.Popen(
        [sys.executable, "-c", PATIENT + SERVICE],
        env={
            **os.environ,
            "SHMETRICS_RUNTIME_DIR": str(runtime_dir),
            "SHMETRICS_PROCESS": "service",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert service.stdout is not None
    assert service.stdout.readline() == b"done\n"
    inventory, targets = folder / "inventory", folder / "targets.json"
    inventory.write_text(collector.url.removeprefix("https://"))
    assert cli.main(["targets", str(inventory), "--output", str(targets)]) == 0
    yield collector
    service.communicate()
    assert collector.stop() == 0


@pytest.fixture
def discovery_url(recorded: Collector, folder: Path) -> Iterator[str]:
    """Yield where `shmetrics targets` serves the collector as a target."""
    log = folder / "discovery.log"
    command = ["shmetrics", "targets", str(folder / "inventory"), "--listen", "127.0.0.1:0"]
    process = Forked(command, log)
    process.ready_when(lambda: "ready" in log.read_text(), 30)
    yield log.read_text().split()[-1]
    assert process.stop() == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "vmagent", "victoria-metrics"))),
    reason="Prometheus or VictoriaMetrics is not installed",
)
def test_all_engines_have_the_same_numbers(
    recorded: Collector,
    folder: Path,
    stores: Stores,
    start: Any,
    ports: list[int],
    discovery_url: str,
) -> None:
    server, store = stores
    agent = written_for("prometheus-agent.yml", folder, server.url, discovery_url)
    vmagent = written_for("vmagent.yml", folder, discovery_url=discovery_url)
    start(
        "agent",
        prometheus(
            *(folder, ports[2], agent),
            "--enable-feature=agent",
            f"--storage.agent.path={folder / 'agent'}",
        ),
    )
    start(
        "vmagent",
        [
            "vmagent",
            f"-promscrape.config={vmagent}",
            f"-httpListenAddr=127.0.0.1:{ports[3]}",
            f"-remoteWrite.tmpDataPath={folder / 'vmagent'}",
            f"-remoteWrite.url={store.url}/api/v1/write",
            f"-remoteWrite.tlsCAFile={folder / 'ca.crt'}",
            f"-remoteWrite.basicAuth.username={WRITER}",
            f"-remoteWrite.basicAuth.passwordFile={folder / 'writer-password'}",
        ],
    )
    wanted = scraped(recorded, folder)
    recorded_here = expected()
    assert {key: wanted[key] for key in recorded_here} == recorded_here

    def seen() -> dict[str, Samples]:
        store.get("/internal/force_flush")
        return {
            "scraped by Prometheus": server.compared(SCRAPED),
            "agent, to Prometheus": server.compared(WRITTEN_BY_AGENT),
            "vmagent, to VictoriaMetrics": store.compared(WRITTEN_BY_AGENT),
            "collector, to Prometheus": server.compared(WRITTEN_BY_US),
            "collector, to VictoriaMetrics": store.compared(WRITTEN_BY_US),
        }

    def difference() -> dict[str, Any]:
        return {
            way: found.items() ^ wanted.items() for way, found in seen().items() if found != wanted
        }

    until(lambda: not difference(), difference, 60)
    assert server.samples('sum(up{cluster=""})') == {frozenset(): 2.0}  # two jobs


def scraped(collector: Collector, folder: Path) -> Samples:
    """Return what a scrape has of what is compared."""
    text = Client(folder, collector.url, "prometheus").get("/metrics").decode()
    is_compared = re.compile(COMPARED).fullmatch
    return {
        frozenset(
            {("__name__", sample.name), *(pair for pair in sample.labels.items() if pair[1])}
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if is_compared(sample.name)
    }


def expected() -> Samples:
    """Return what the service has recorded, as plain Python counts it. The sums are not among it:
    plain Python rounds them in another order."""
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
    for method in ("m0", "m1"):
        called = {"topic": "compute", "method": method, "process": "service"}
        for name in ("invocation_start_total", "invocation_end_total", "processing_seconds_count"):
            put(f"oslo_messaging_rpc_client_{name}", 50, **called)
        failed = {**called, "exception": "LookupError"}
        put("oslo_messaging_rpc_client_exception_total", 10, **failed)
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
