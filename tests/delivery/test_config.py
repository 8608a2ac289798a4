# SPDX-License-Identifier: Apache-2.0
"""The options of a place: addresses, and what is wrong with others in one line."""

from __future__ import annotations

import pytest

from shmetrics.config.deliver import EXAMPLE, Deliver
from shmetrics.config.destination import FACILITIES
from shmetrics.config.lines_destination import LinesDestination, parse
from tests.delivery.conftest import wanted


@pytest.mark.parametrize(
    ("to", "destination"),
    [
        ("syslog:///dev/log", LinesDestination("syslog", path="/dev/log")),
        ("syslog+udp://h", LinesDestination("syslog+udp", "h", 514)),
        ("syslog+tcp://[::1]:1514/", LinesDestination("syslog+tcp", "::1", 1514)),
        ("syslog+tls://h.example", LinesDestination("syslog+tls", "h.example", 6514)),
        ("journal://", LinesDestination("journal", path="/run/systemd/journal/socket")),
        ("journal:///x", LinesDestination("journal", path="/x")),
        ("file:///v/{kind}/{unit}.log", LinesDestination("file", path="/v/{kind}/{unit}.log")),
    ],
)
def test_an_address_has_its_parts(to: str, destination: LinesDestination) -> None:
    assert Deliver(to=to).destination == destination


@pytest.mark.parametrize(
    ("to", "what"),
    [
        ("", "is no destination of lines; write syslog:///dev/log"),
        ("http://h", "is no destination of lines"),
        ("syslog://h:514", r"for a host: syslog\+udp://"),
        ("syslog://", "has no absolute path"),
        ("syslog+tcp://h:70000", "has a wrong port"),
        ("syslog+tcp://", "names no host"),
        ("syslog+tls://u@h", "has more than a host and a port"),
        ("syslog+udp://h/x", "has more than a host and a port"),
        ("file://x", "has no absolute path"),
        ("file:///v/{uid}.log", "'{uid}' is not {unit} or {kind}"),
        ("file:///v/{unit", "is not {unit} or {kind}"),
        ("file:///{unit}.log", "names no file, or has"),
        ("file:///v/{unit}/", "names no file, or has"),
    ],
)
def test_a_wrong_address_is_said(to: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse(to)
    with pytest.raises(ValueError, match=f"^to: .*{what}"):
        Deliver(to=to)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"facility": "news1"}, "facility: 'news1' is no facility of syslog"),
        ({"ca_file": "/x"}, "ca_file: is for TLS, and 'journal://' is without TLS"),
        (
            {"to": "syslog+tls://h", "cert_file": "/x"},
            "cert_file: needs key_file beside it",
        ),
    ],
)
def test_options_fit_each_other(options: dict[str, str], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        wanted(**{"to": "journal://", **options})


def test_facilities_have_their_numbers() -> None:
    assert (FACILITIES["user"], FACILITIES["daemon"], FACILITIES["local7"]) == (1, 3, 23)
    assert EXAMPLE.destination.path == "/dev/log"
