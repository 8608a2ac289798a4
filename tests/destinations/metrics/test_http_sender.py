# SPDX-License-Identifier: Apache-2.0
"""Authentication of a request: passwords and tokens are in files, and are never shown."""

from __future__ import annotations

import base64
import logging
import socket
import struct
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from shmetrics.destinations.metrics.exporter import exporter_of
from shmetrics.errors import ConfigError
from tests.servers.processes import until
from tests.servers.scripted import Scripted, say

from .conftest import Driven
from .scraped import SECONDS, counter, wanted


def test_a_password_is_read_again_for_each_request(
    driven: Callable[..., Driven], peer: Scripted, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("first: é\nanother line\n")
    to = wanted(f"otlp+{peer.url}/v1/metrics", username="node", password_file=str(file))
    destinations = driven(to)
    for password in ("first: é", "second"):
        file.write_text(f"{password}\n")
        destinations.take([counter()])
        destinations.arrives()
        scheme, _, said = peer.requests[-1].headers["Authorization"].partition(" ")
        assert (scheme, base64.b64decode(said).decode()) == ("Basic", f"node:{password}")


def test_a_token_that_is_gone_is_waited_for(
    driven: Callable[..., Driven],
    peer: Scripted,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    to = wanted(f"remote-write+{peer.url}/api/v1/write", bearer_token_file=str(file))
    with caplog.at_level(logging.WARNING):
        destinations = driven(to)

        def unlink(handler: BaseHTTPRequestHandler) -> None:
            file.unlink()
            say(handler, 503)

        peer.answers.append(unlink)
        destinations.take([counter()])
        until(lambda: destinations.report.counts.retries >= 2, lambda: "no try", SECONDS)
        file.write_text("t0ken\n")
        destinations.arrives()
    assert peer.requests[0].headers["Authorization"] == "Bearer t0ken"
    assert "t0ken" not in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "the first line is empty or not printable"),
        (b"\x00", "the first line is empty or not printable"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    to = wanted("otlp+http://h", bearer_token_file=str(file))
    with pytest.raises(ConfigError, match=said) as found:
        exporter_of(to, {}, 0)
    assert str(found.value).startswith(f"otlp+http://h: bearer_token_file: {file}: ")


def _reset(handler: BaseHTTPRequestHandler) -> None:
    handler.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.request.close()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            lambda handler: say(handler, 400, b" no such tenant\n"),
            "400 Bad Request: no such tenant",
        ),
        (lambda handler: say(handler, 400), "400 Bad Request"),
        (_reset, "Connection reset by peer"),
    ],
)
def test_a_problem_is_told_in_one_line(
    driven: Callable[..., Driven],
    peer: Scripted,
    answer: Callable[[BaseHTTPRequestHandler], None],
    problem: str,
) -> None:
    destinations = driven(wanted(f"remote-write+{peer.url}/api/v1/write"))
    peer.answers.extend([answer] * 99)
    destinations.take([counter()])
    until(lambda: destinations.report.problem, lambda: "no problem", SECONDS)
    assert destinations.report.problem.removeprefix("refused: ") == problem
