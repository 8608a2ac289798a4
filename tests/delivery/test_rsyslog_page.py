# SPDX-License-Identifier: Apache-2.0
"""The configuration of docs/units_delivery.md, on a real rsyslog: from lines to three engines."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shmetrics.delivery.deliveries import Deliveries
from tests.delivery.conftest import GEAR, SECONDS, TIME_NS, WEB, line, wanted
from tests.docs.snippets import ROOT, snippets_of
from tests.servers.processes import until
from tests.servers.rsyslog import Rsyslog, lacking

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

PAGE = ROOT / "docs" / "units_delivery.md"
# What the page has for the reader's own hosts, by the number of the socket that stands in.
PLACES = {
    'target="graphite.example" port="2003"': 'target="127.0.0.1" port="{}"',
    'target="statsd.example" port="8125"': 'target="127.0.0.1" port="{}"',
    'server="elasticsearch.example" serverport="9200"': 'server="127.0.0.1" serverport="{}"',
}


class Elasticsearch:
    """A stand-in that takes documents at _bulk, and is healthy."""

    def __init__(self) -> None:
        self.documents: list[dict[str, str]] = []
        documents = self.documents

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"{}")

            def do_HEAD(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                lines = body.decode().splitlines()
                assert self.path == "/_bulk"
                assert all(set(json.loads(action)) == {"index"} for action in lines[::2])
                documents.extend(json.loads(each) for each in lines[1::2])
                items = [{"index": {"status": 201}}] * (len(lines) // 2)
                self._answer(json.dumps({"errors": False, "items": items}).encode())

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.port = self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def elasticsearch() -> Iterator[Elasticsearch]:
    found = Elasticsearch()
    yield found
    found.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="shm-"))
    yield found
    shutil.rmtree(found)


def configuration(folder: Path, *ports: int) -> str:
    """Return the page's configuration, with our sockets in the place of the reader's hosts."""
    (text,) = (one.text for one in snippets_of(PAGE) if "mmnormalize" in one.text)
    for (theirs, ours), port in zip(PLACES.items(), ports, strict=True):
        assert theirs in text
        text = text.replace(theirs, ours.format(port))
    text = text.replace('module(load="imuxsock")\n', "")  # the test's begin has loaded it
    return text.replace("/run/rsyslog/units.sock", f"{folder}/s")


def test_lines_go_on_to_graphite_statsd_and_elasticsearch(
    folder: Path, elasticsearch: Elasticsearch
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as graphite,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd,
    ):
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(SECONDS)
        graphite.settimeout(SECONDS)
        ports = graphite.getsockname()[1], statsd.getsockname()[1], elasticsearch.port
        server = Rsyslog(folder, configuration(folder, *ports), folder / "s")
        deliveries = Deliveries([wanted(f"syslog://{folder}/s")], hostname="node")
        try:
            deliveries.put(WEB, line("type=metric thread.count=5 zone=eu low=-2.5"), TIME_NS)
            deliveries.put(GEAR, line("quota.blocks.used=920"), TIME_NS)
            datagrams = [statsd.recv(1000).decode() for _ in range(3)]
            connection, _ = graphite.accept()
            with connection, connection.makefile() as lines:
                connection.settimeout(SECONDS)
                found = [lines.readline() for _ in range(3)]
            until(
                lambda: len(elasticsearch.documents) >= 3,
                lambda: f"{elasticsearch.documents}\n{server.log.read_text()}",
                SECONDS,
            )
        finally:
            deliveries.close()
            server.stop()
    assert found == [
        "units.web_service.thread.count 5 1600000000\n",
        "units.web_service.low -2.5 1600000000\n",
        "units.5f.quota.blocks.used 920 1600000000\n",
    ]
    assert datagrams == [
        "units.web_service.thread.count:0|g\nunits.web_service.thread.count:5|g",
        "units.web_service.low:0|g\nunits.web_service.low:-2.5|g",
        "units.5f.quota.blocks.used:0|g\nunits.5f.quota.blocks.used:920|g",
    ]
    assert elasticsearch.documents[0] == {
        "@timestamp": "2020-09-13T12:26:40.123456Z",
        "host": "node",
        "unit": "web.service",
        "metric": "thread.count",
        "value": "5",
    }
    rest = [(document["unit"], document["value"]) for document in elasticsearch.documents[1:]]
    assert rest == [("web.service", "-2.5"), ("5f", "920")]
