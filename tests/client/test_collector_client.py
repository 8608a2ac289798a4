# SPDX-License-Identifier: Apache-2.0
"""Finding a collector, and asking it; each way to fail is one line with the mend."""

import json
import os
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from shmetrics.client import collector_client
from tests.servers.misbehaving import ANSWER, Conversation, Misbehaving


def announce(directory: Path, url: str) -> None:
    text = json.dumps({"pid": 42, "url": url, "version": "0.1.0"})
    (directory / collector_client.INFO_NAME).write_text(text)


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = {"/json": (200, b'{"a": 1}'), "/text": (200, b"no JSON")}.get(
            self.path, (503, b"the store\nis full\n")
        )
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_collector_is_found_and_asked(tmp_path: Path, server: str) -> None:
    announce(tmp_path, server)
    found = collector_client.find(str(tmp_path))
    assert (found.url, found.pid, found.version) == (server, 42, "0.1.0")
    assert found.get("/text") == b"no JSON"
    assert found.get_json("/json") == {"a": 1}


def test_the_environment_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(tmp_path, "http://127.0.0.1:1")
    monkeypatch.setenv("SHMETRICS_RUNTIME_DIR", str(tmp_path))
    assert collector_client.find().pid == 42


def message(directory: Path, path: str = "/json") -> str:
    with pytest.raises(collector_client.Unreachable) as caught:
        collector_client.find(str(directory)).get_json(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nobody_serves_there(tmp_path: Path) -> None:
    assert message(tmp_path) == (
        f"{tmp_path}: no collector serves here; start one: "
        f"shmetrics collector --runtime-dir {tmp_path}"
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": 1, "pid": "x", "version": ""}'])
def test_a_damaged_announcement(tmp_path: Path, text: str) -> None:
    (tmp_path / collector_client.INFO_NAME).write_text(text)
    assert message(tmp_path) == f"{tmp_path}/collector.json: damaged; restart the collector"


def test_an_announcement_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkdir(tmp_path / collector_client.INFO_NAME)
    assert message(tmp_path) == f"{tmp_path}/collector.json: Is a directory"


def test_the_collector_is_gone(tmp_path: Path) -> None:
    announce(tmp_path, "http://127.0.0.1:1")
    assert message(tmp_path) == (
        "http://127.0.0.1:1: Connection refused; is the collector (pid 42) still running?"
    )


def test_the_collector_refuses(tmp_path: Path, server: str) -> None:
    announce(tmp_path, server)
    assert message(tmp_path, "/x") == f"{server}/x: 503: the store is full"


def test_the_answer_is_something_else(tmp_path: Path, server: str) -> None:
    announce(tmp_path, server)
    assert re.match(f"{server}/text: this is not JSON: ", message(tmp_path, "/text"))


# ---- whoever answers in the collector's place ----------------------------------------------------


def drips(client: Conversation) -> None:
    client.listen()
    client.drip(ANSWER)


def goes_on(client: Conversation) -> None:
    client.listen()
    client.flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    client.say(ANSWER)


def never_ends(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 200 OK\r\n\r\n")
    client.flood(b"x" * 4096)


def breaks_off(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")


def sends_elsewhere(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")


def says_junk(client: Conversation) -> None:
    client.listen()
    client.say(b"\0\1\2\n" * 99)


@pytest.mark.parametrize(
    ("does", "what"),
    [
        (drips, r"timed out; is the collector \(pid 42\) still running\?$"),
        (goes_on, "the answer has no end; is the collector"),
        (never_ends, "more than 10000 bytes$"),
        (breaks_off, "IncompleteRead"),
        (sends_elsewhere, "/json: 302: $"),
        (says_junk, "is the collector"),
    ],
)
def test_whoever_misbehaves_is_said_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    does: Callable[[Conversation], None],
    what: str,
) -> None:
    monkeypatch.setattr(collector_client, "TIMEOUT_SECONDS", 0.5 if does is drips else 60.0)
    monkeypatch.setattr(collector_client, "MOST_ANSWER_BYTES", 10_000)
    misbehaving = Misbehaving(does)
    announce(tmp_path, f"http://127.0.0.1:{misbehaving.port}")
    assert re.search(what, message(tmp_path))
    misbehaving.close()


def test_an_answer_that_is_nested_without_end_is_no_json(tmp_path: Path) -> None:
    def nests(client: Conversation) -> None:
        client.listen()
        client.say(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000)

    nesting = Misbehaving(nests)
    announce(tmp_path, f"http://127.0.0.1:{nesting.port}")
    assert "this is not JSON" in message(tmp_path)
    nesting.close()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/", "http://", "nonsense", "http://h:x"]
)
def test_what_is_no_url_of_a_collector(tmp_path: Path, url: str) -> None:
    announce(tmp_path, url)
    assert message(tmp_path).startswith(f"{url}: ")
