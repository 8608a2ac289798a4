# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP, to a receiver made of the official definitions."""

from __future__ import annotations

import email.utils
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from shmetrics.destinations.traces.trace_destinations import sender_of
from shmetrics.errors import ConfigError
from shmetrics.forwarding.sender import Outcome, Refused, Sender, TryAgain
from shmetrics.traces.reader import StoredSpan
from tests.servers.misbehaving import ANSWER, Conversation, Dripping, Misbehaving
from tests.servers.otlp import HttpReceiver, hang_up, partial, say, spans_of
from tests.servers.ports import ReservedPort

from .conftest import id_of, span, wanted


def test_spans_arrive(http: HttpReceiver) -> None:
    sender = sender_of(wanted(http.url))
    assert sender.send([span(1), span(2)]) == Outcome()
    assert sender.send([span(3)]) == Outcome()
    assert [found.span_id for found in spans_of(http.requests)] == [id_of(n)[8:] for n in (1, 2, 3)]


def test_headers_and_credentials_go_along(http: HttpReceiver) -> None:
    to = http.url.replace("//", "//user:p%40ss@")
    sender = sender_of(wanted(to, headers={"X-Scope-OrgID": "cloud"}))
    sender.send([span()])
    (headers,) = http.headers
    assert headers["X-Scope-OrgID"] == "cloud"
    assert headers["Authorization"] == "Basic dXNlcjpwQHNz"  # user:p@ss


def problem(sender: Sender[StoredSpan]) -> TryAgain | Refused:
    with pytest.raises((TryAgain, Refused)) as raised:
        sender.send([span()])
    assert isinstance(raised.value, (TryAgain, Refused))
    return raised.value


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_temporary(http: HttpReceiver, status: int) -> None:
    http.answers.append(lambda handler: say(handler, status, Retry_After="7"))
    found = problem(sender_of(wanted(http.url)))
    assert isinstance(found, TryAgain)
    assert (found.after_seconds, found.left) == (7, None)
    assert str(status) in str(found)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        (lambda: email.utils.formatdate(time.time() + 100, usegmt=True), 50, 101),
        (lambda: email.utils.formatdate(time.time() - 100, usegmt=True), 0, 0),
        (lambda: "soon", 0, 0),
        (lambda: "-5", 0, 0),
        (lambda: "9" * 1000, 1e8, 1e9),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    http: HttpReceiver, said: Any, least: float, most: float
) -> None:
    http.answers.append(lambda handler: say(handler, 503, Retry_After=said()))
    found = problem(sender_of(wanted(http.url)))
    assert isinstance(found, TryAgain)
    assert least <= found.after_seconds <= most


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500])
def test_what_is_refused(http: HttpReceiver, status: int) -> None:
    http.answers.append(lambda handler: say(handler, status, b"x" * 100_000))
    found = problem(sender_of(wanted(http.url)))
    assert isinstance(found, Refused)
    assert str(status) in str(found)


def test_a_receiver_that_dies_in_the_middle(http: HttpReceiver) -> None:
    http.answers.append(hang_up)
    sender = sender_of(wanted(http.url))
    assert isinstance(problem(sender), TryAgain)
    assert sender.send([span()]) == Outcome()


def test_nobody_there() -> None:
    port = ReservedPort()
    found = problem(sender_of(wanted(f"otlp+http://127.0.0.1:{port.number}")))
    assert isinstance(found, TryAgain)
    assert "refused" in str(found)
    port.release()


@pytest.mark.parametrize("scheme", ["otlp+http", "otlp+https"])
def test_a_receiver_that_does_not_answer_is_not_waited_for(scheme: str) -> None:
    silent = ReservedPort()
    silent._socket.listen()
    to = f"{scheme}://127.0.0.1:{silent.number}"
    found = problem(sender_of(wanted(to, timeout_seconds=0.1)))
    assert isinstance(found, TryAgain)
    assert "timed out" in str(found)
    silent.release()


def test_what_a_receiver_did_not_take_is_known(http: HttpReceiver) -> None:
    sender = sender_of(wanted(http.url))
    http.answers.append(lambda handler: say(handler, 200, partial(2).SerializeToString()))
    assert sender.send([span(1), span(2), span(3)]) == Outcome(refused=2)
    http.answers.append(lambda handler: say(handler, 200, b"fine, thank you"))
    assert sender.send([span()]) == Outcome()


def test_a_receiver_with_tls_is_vouched_for(http: HttpReceiver, tmp_path: Path) -> None:
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    http.serve_tls(context)
    to = http.url.replace("http", "https")
    assert sender_of(wanted(to, ca_file=str(ca_file))).send([span()]) == Outcome()
    assert len(http.requests) == 1
    found = problem(sender_of(wanted(to)))
    assert isinstance(found, TryAgain)
    assert "certificate verify failed" in str(found)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"ca_file: /no/ca\.pem: No such file"):
        sender_of(wanted("otlp+https://h", ca_file="/no/ca.pem"))


def test_what_cannot_be_said_keeps_nothing_else_back(http: HttpReceiver) -> None:
    sender = sender_of(wanted(http.url))
    odd = span(9, name="\ud800")
    assert sender.send([span(1), odd, span(2)])[:2] == (0, 1)
    assert [found.span_id for found in spans_of(http.requests)] == [id_of(n)[8:] for n in (1, 2)]
    assert sender.send([odd, odd])[:2] == (0, 2)
    assert http.tries == 1


@pytest.mark.parametrize("scheme", ["otlp+http", "otlp+https"])
def test_a_receiver_that_drips_is_left(http: HttpReceiver, scheme: str, tmp_path: Path) -> None:
    """Check a receiver that drips in its answer, or in its handshake."""
    ca_file = ""
    if scheme == "otlp+https":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca_file := str(tmp_path / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        http.serve_tls(context)
    slow = Dripping(http.port)
    to = wanted(f"{scheme}://127.0.0.1:{slow.port}", ca_file=ca_file, timeout_seconds=0.3)
    found = problem(sender_of(to))
    assert isinstance(found, TryAgain)
    assert "timed out" in str(found)
    slow.close()


def test_a_receiver_that_never_goes_on_is_left_before_its_time_is_over(http: HttpReceiver) -> None:
    def goes_on(client: Conversation) -> None:
        client.listen()
        client.flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        client.say(ANSWER)

    endless = Misbehaving(goes_on)
    found = problem(sender_of(wanted(f"otlp+http://127.0.0.1:{endless.port}")))
    assert isinstance(found, TryAgain)
    assert "no end" in str(found)
    endless.close()


def test_of_an_answer_without_end_enough_is_read() -> None:
    def never_ends(client: Conversation) -> None:
        client.listen()
        client.say(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.flood(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    endless = Misbehaving(never_ends)
    found = problem(sender_of(wanted(f"otlp+http://127.0.0.1:{endless.port}")))
    assert isinstance(found, Refused)
    assert str(found) == "400 Bad"
    endless.close()
