# SPDX-License-Identifier: Apache-2.0
"""A real collector among hostile clients works as if they were not there."""

import base64
import resource
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from shmetrics.http import refusals
from tests.http.authority import PASSWORD, hashed, write
from tests.http.raw import many, soon, tell
from tests.nodes.node import Emitter, Node
from tests.nodes.samples import Samples, parse

ASKS = b"GET /metrics HTTP/1.1\r\nhost: x\r\n"

# Counts a thousand whenever it is told to. Its label makes a scrape of some megabytes.
EMITTER = """
events = shmetrics.Counter("events", "Events").labels()
large = shmetrics.Counter("large", "Makes scrapes large", ["a"])
for number in range(60):
    large.labels(f"{number:01000d}").inc()
while True:
    pause("counted")
    for _ in range(1000):
        events.inc()
"""

# Registers while all of them are there.
NEWCOMER = """
import time
x = shmetrics.Counter("x", "")
while not shmetrics.status()["connected"]:
    x.inc()
    time.sleep(0.01)
x.inc()
"""


def counts_on(node: Node, emitter: Emitter, before: float) -> float:
    """Count a thousand events, scrape until they are shown, and return their total."""
    emitter.go()
    emitter.until("counted")
    assert node.samples().value("events_total") == before + 1000
    return before + 1000


def refused(found: Samples, reason: str) -> float:
    return found.sum("shmetrics_http_refused_total", reason=reason)


@pytest.mark.parametrize(
    ("number", "say"),
    [(300, ASKS), (300, ASKS + b"\r\n"), (300, (ASKS + b"\r\n") * 50), (1000, b"")],
    ids=["half a request", "never reads", "never reads many", "a thousand"],
)
def test_the_scrape_answers_and_drains_go_on_among(node: Node, number: int, say: bytes) -> None:
    node.start()
    emitter = node.emitter(EMITTER)
    emitter.until("counted")
    events = 0.0
    with many(node.url, number, say):
        for _ in range(5):
            events = counts_on(node, emitter, events)
        node.run(NEWCOMER)
        found = node.samples()
        assert found.value("x_total") >= 1
        assert found.sum("shmetrics_quota_used", quota="http_connections") <= 256
        assert refused(found, refusals.CONNECTIONS) >= number - 256


def test_open_files_that_run_out_are_taken_from_who_waits(node: Node) -> None:
    node.start()
    emitter = node.emitter(EMITTER)
    emitter.until("counted")
    used = len(list(Path(f"/proc/{node.pid}/fd").iterdir()))
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (used + 20, hard))
    events = 0.0
    with many(node.url, 200, ASKS):
        for _ in range(3):
            events = counts_on(node, emitter, events)
        assert refused(node.samples(), refusals.DESCRIPTORS) > 0
    counts_on(node, emitter, events)


@contextmanager
def guessing(url: str, guessers: int) -> Iterator[list[bytes]]:
    """Try one password after the other from several clients; return the statuses."""
    statuses: list[bytes] = []
    over = threading.Event()

    def guess(number: int) -> None:
        tries = 0
        while not over.is_set():
            tries += 1
            pair = base64.b64encode(b"alice:%d-%d" % (number, tries))
            request = ASKS + b"connection: close\r\nauthorization: Basic %b\r\n\r\n" % pair
            statuses.append(tell(url, request)[9:12])

    with ExitStack() as stack:
        for number in range(guessers):
            thread = threading.Thread(target=guess, args=(number,))
            thread.start()
            stack.callback(thread.join)
        stack.callback(over.set)
        yield statuses


def test_a_flood_of_wrong_passwords_starves_no_scrape_and_no_drain(
    node: Node, tmp_path: Path
) -> None:
    web_config = write(tmp_path / "web.yml", {"basic_auth_users": {"alice": hashed(cost=10)}})
    node.start(f'web_config = "{web_config}"')
    emitter = node.emitter(EMITTER)
    emitter.until("counted")
    pair = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(f"{node.url}/metrics")
    request.add_header("Authorization", f"Basic {pair}")

    def scrape() -> Samples:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return parse(answer.read().decode())

    scrape()  # from now on the password is known
    with guessing(node.url, 20) as statuses:
        for turn in range(1, 21):
            emitter.go()
            emitter.until("counted")
            assert scrape().value("events_total") == 1000 * turn
        found = scrape()
    assert set(statuses) <= {b"401", b"503"}
    assert refused(found, refusals.PASSWORD) > 0
    assert refused(found, refusals.PASSWORDS_BUSY) > 0
    web_config.write_text("{}")  # for the end of the test, which asks without
    soon(lambda: tell(node.url, ASKS + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 "))
