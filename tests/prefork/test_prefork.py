# SPDX-License-Identifier: Apache-2.0
"""Servers that fork: workers are recycled, killed and reloaded for real, and every total exact."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT, snippets_of
from tests.nodes.node import Node
from tests.prefork.client import ask, ask_often
from tests.servers.processes import ServerProcess, until

WORKERS = 3
RECYCLED_AFTER = 60  # requests
REQUESTS = 200
PATIENCE_SECONDS = 60


def gunicorn(*options: str) -> Callable[[Path, Path], list[str]]:
    def command(server: Path, folder: Path) -> list[str]:
        return [
            *(sys.executable, "-W", "ignore", "-m", "gunicorn", "--bind", f"unix:{server}"),
            *("--chdir", str(ROOT / "tests" / "prefork"), "--workers", str(WORKERS)),
            *("--max-requests", str(RECYCLED_AFTER), "--max-requests-jitter", "20"),
            *("--worker-tmp-dir", str(folder), "--no-control-socket"),
            *(*options, "application:application"),
        ]

    return command


def uwsgi(server: Path, folder: Path) -> list[str]:
    """Return the command of uWSGI in docs/processes.md."""
    (snippet,) = (s for s in snippets_of(ROOT / "docs/processes.md") if s.language == "ini")
    (folder / "uwsgi.ini").write_text(snippet.text)
    return [
        *(str(Path(sys.executable).with_name("uwsgi")), "--ini", str(folder / "uwsgi.ini")),
        *("--http-socket", str(server), "--chdir", str(ROOT / "tests" / "prefork")),
        *("--module", "application:application", "--processes", str(WORKERS)),
        *("--max-requests", str(RECYCLED_AFTER), "--min-worker-lifetime", "0"),
        *("--binary-path", sys.executable),  # what a reload starts: as a module it takes the base's
    ]


SERVERS = {
    "gunicorn sync": gunicorn("--worker-class", "sync"),
    "gunicorn gthread": gunicorn("--worker-class", "gthread", "--threads", "4", "--preload"),
    "gunicorn gevent": gunicorn("--worker-class", "gevent", "--preload"),
    "uwsgi": uwsgi,
}
PRELOADED = {"gunicorn gthread", "gunicorn gevent", "uwsgi"}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, node: Node, tmp_path: Path) -> Iterator[ServerProcess]:
    node.start()
    environment = os.environ | {
        "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir),
        "LEDGER": str(tmp_path / "ledger"),
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
    }
    command = SERVERS[request.param](node.runtime_dir / "http.sock", tmp_path)
    found = ServerProcess(command, tmp_path / "server.log", environment)
    try:
        found.ready_when(lambda: ask(node.runtime_dir / "http.sock") != 0, PATIENCE_SECONDS)
        yield found
    finally:
        found.stop()


def test_totals_are_exact_whatever_happens_to_workers(
    request: pytest.FixtureRequest, server: ServerProcess, node: Node, tmp_path: Path
) -> None:
    http = node.runtime_dir / "http.sock"
    answered = [ask(http)]

    def load() -> set[int]:
        """Return the pids of all processes that answered, and check that no question failed."""
        found = ask_often(http, REQUESTS)
        assert 0 not in found
        answered.extend(found)
        return set(found)

    workers = set[int]()

    def recycled() -> bool:
        workers.update(load())
        return len(workers) >= 2 * WORKERS

    until(recycled, lambda: f"only these answered: {workers}", PATIENCE_SECONDS)
    assert server.pid not in workers

    for _ in range(2 * WORKERS):  # in the middle of a request
        assert ask(http, "/die") == 0
    load()
    for pid in {lane["pid"] for lane in node.lanes()} - {server.pid}:  # at any time
        with contextlib.suppress(ProcessLookupError):  # it was just being recycled
            os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        answered.append(ask(http))
        return answered[-1] != 0

    until(replaced, lambda: "the killed workers were not replaced", PATIENCE_SECONDS)
    before = load()
    os.kill(server.pid, signal.SIGHUP)

    def reloaded() -> bool:
        answered.extend(found := ask_often(http, 2 * WORKERS))
        return not set(found) & {0, *before}

    until(reloaded, lambda: "the workers were not replaced", PATIENCE_SECONDS)
    load()

    preloaded = request.node.callspec.params["server"] in PRELOADED
    assert (server.pid in {lane["pid"] for lane in node.lanes()}) == preloaded
    assert node.samples().value("busy") == 0
    server.stop()
    node.until_no_lane()
    ledger = (tmp_path / "ledger").read_bytes()
    found = node.samples()
    requests, deaths = ledger.count(b"r"), ledger.count(b"d")
    assert found.value("requests_total", path="/die") == deaths == 2 * WORKERS
    assert found.value("requests_total", path="/") == requests
    assert found.value("loads_total") == ledger.count(b"l")
    assert found.value("took_count") == requests
    assert found.value("handled") == requests + deaths
    assert "busy" not in found.names("busy")
    assert found.value("rpc_invocation_start_total", method="/") == requests
    assert found.value("rpc_invocation_end_total", method="/") == requests
    assert found.value("rpc_invocation_start_total", method="/die") == deaths
    assert found.sum("shmetrics_rpc_abandoned_total", method="/die") == deaths
    assert found.sum("shmetrics_rpc_in_flight") == 0
    assert found.sum("shmetrics_dropped_total") == 0
    # What the clients saw, which may have met a dying worker.
    ended = len([pid for pid in answered if pid])
    assert ended <= requests <= len(answered) + 1
    granted = found.value("shmetrics_registrations_total", result="granted")
    assert granted == found.value("shmetrics_lanes_retired_total")
