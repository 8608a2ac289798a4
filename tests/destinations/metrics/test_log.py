# SPDX-License-Identifier: Apache-2.0
"""Messages of samples: to a real rsyslog over UDP, TCP, TLS and its unix socket, and to a
journal's socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.delivery.test_syslog import address, started
from tests.http.authority import Authority
from tests.servers.ports import ReservedPort
from tests.servers.rsyslog import lacking, lines_of

from .conftest import Driven
from .scraped import SECONDS, Key, all_kinds, gauge, scraped, wanted

needs_rsyslog = pytest.mark.skipif(bool(lacking()), reason=lacking())


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


def samples_of(messages: list[str]) -> dict[Key, float]:
    """Return the samples of messages, each of which is there once."""
    found: dict[Key, float] = {}
    for message in messages:
        words = dict(word.split("=", 1) for word in message.split(" "))
        assert words.pop("type") == "metric"
        name, value = words.pop("metric"), float(words.pop("value"))
        key = name, tuple(sorted(words.items()))
        assert key not in found
        found[key] = value
    return found


def plain() -> dict[Key, float]:
    """Return the samples of a scrape, with what cannot be in a word escaped."""
    odd = r"a\x20b|c;d,e:f#g/h\x22i\x5cj%k~{l}\x0am" + "\\x3dé"
    return {
        (name, tuple((key, odd if key == "odd" else text) for key, text in labels)): value
        for (name, labels), value in scraped(all_kinds()).items()
    }


@needs_rsyslog
@pytest.mark.parametrize("scheme", ["syslog", "syslog+udp", "syslog+tcp", "syslog+tls"])
def test_every_value_is_that_of_a_scrape(
    driven: Callable[..., Driven], folder: Path, port: int, scheme: str
) -> None:
    options = {}
    if scheme == "syslog+tls":
        authority = Authority(folder)
        authority.certify("server")
        cert, key = authority.certify("client")
        options = {"ca_file": authority.file, "cert_file": cert, "key_file": key}
    server = started(folder, scheme, port)
    try:
        to = wanted(
            address(folder, scheme, port), **{name: str(file) for name, file in options.items()}
        )
        destinations = driven(to)
        destinations.take(all_kinds())
        expected = plain()
        lines = list(map(json.loads, lines_of(folder / "out", len(expected))))
        assert samples_of([line["text"] for line in lines]) == expected
        assert {(line["app"], line["msgid"]) for line in lines} == {("shmetrics", "metric")}
        assert {line["time"][:19] for line in lines} == {"2023-11-14T22:13:21"}
        assert destinations.arrives().counts.sent == len(expected)
    finally:
        server.stop()


def test_a_journal_gets_an_entry_per_sample(driven: Callable[..., Driven], folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(folder / "s"))
        journal.settimeout(SECONDS)
        destinations = driven(wanted(f"journal://{folder}/s"))
        time_ns = destinations.take([gauge(values=(1,))])
        assert journal.recv(1 << 16).decode() == (
            f"PRIORITY=6\nSYSLOG_IDENTIFIER=shmetrics\nSHMETRICS_TIME_NS={time_ns}\n"
            "MESSAGE=type=metric metric=depth hostname=node-1 queue=q0 value=1.0\n"
        )
        assert destinations.arrives().counts.sent == 1
