# SPDX-License-Identifier: Apache-2.0
"""The options of destinations of metrics: what is wrong is said in one line, without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from shmetrics import config
from shmetrics.config import metrics_destination
from shmetrics.config.metrics_destination import MetricsDestination
from shmetrics.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path", "is_tls"),
    [
        ("graphite://h", "graphite", "h", 2003, "", False),
        ("graphite+pickle://[::1]:7/", "graphite+pickle", "::1", 7, "", False),
        ("statsd://h", "statsd", "h", 8125, "", False),
        ("statsd+unix:///run/s", "statsd+unix", "", 0, "/run/s", False),
        ("remote-write+http://h", "remote-write+http", "h", 9090, "/api/v1/write", False),
        ("remote-write+https://h/x?y=1", "remote-write+https", "h", 443, "/x?y=1", True),
        ("otlp+http://h", "otlp+http", "h", 4318, "/v1/metrics", False),
        ("otlp+grpcs://h", "otlp+grpcs", "h", 4317, "", True),
        ("elasticsearch+http://h/metrics", "elasticsearch+http", "h", 9200, "/metrics", False),
        ("syslog:///dev/log", "syslog", "", 0, "/dev/log", False),
        ("syslog+tls://h", "syslog+tls", "h", 6514, "", True),
        ("journal://", "journal", "", 0, "/run/systemd/journal/socket", False),
    ],
)
def test_an_address_has_parts(
    text: str, scheme: str, host: str, port: int, path: str, is_tls: bool
) -> None:
    wanted = MetricsDestination(text, scheme, host, port, path, is_tls)
    assert metrics_destination.parse(text) == wanted
    assert config.MetricsForward(to=text).destination == wanted


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "to: this option is required"),
        ("to = 'h:1'", "to: 'h:1' is no scheme of a destination of metrics; there are graphite, "),
        ("to = 'http://h'", "to: 'http' is no scheme of a destination of metrics; there are "),
        ("to = 'graphite://'", "to: 'graphite://' names no host"),
        ("to = 'graphite://h:x'", "to: 'graphite://h:x' has a wrong port"),
        ("to = 'graphite://h/x'", "to: 'graphite://h/x' has a path; write graphite://host:port"),
        ("to = 'statsd+unix://x'", "to: 'statsd+unix://x' has no absolute path; "),
        ("to = 'elasticsearch+http://h'", "to: 'elasticsearch+http://h' names no data stream; "),
        ("to = 'elasticsearch+http://h/A'", "to: 'elasticsearch+http://h/A' names no data stream"),
        ("to = 'otlp+http://u:secret@h'", "to: otlp+http://…@h: an address has no user and no "),
        ("to = 'statsd://h'\nheaders = {a = ''}", "headers: is not for statsd://"),
        ("to = 'otlp+http://h'\nheaders = {'a b' = ''}", "headers: 'a b' is not the name of a "),
        (
            "to = 'otlp+http://h'\nheaders = {a = \"b\\n\"}",
            "headers.a: the value is not printable ASCII",
        ),
        ("to = 'graphite://h'\nusername = 'u'", "username: is not for graphite://"),
        (
            "to = 'otlp+http://h'\nusername = 'u'",
            "username: needs password_file beside it; ",
        ),
        (
            "to = 'otlp+http://h'\nca_file = 'x'",
            "ca_file: is for TLS, and 'otlp+http://h' is without TLS; leave it out",
        ),
        (
            "to = 'otlp+https://h'\ncert_file = 'x'",
            "cert_file: needs key_file beside it; ",
        ),
        ("to = 'statsd://h'\ndelta = true", "delta: is not for statsd://"),
        ("to = 'statsd://h'\nfamilies = []", "families: names no family; "),
        ("to = 'statsd://h'\nlabels = {le = 'x'}", "labels: 'le' is not the name of a label"),
        ("to = 'statsd://h'\nlabels = {a = ''}", "labels.a: the value is empty"),
        ("to = 'otlp+http://h'\nprefix = 'a.'", "prefix: 'a.' cannot begin a name; letters, "),
        ("to = 'statsd://h'\ninterval_seconds = 0", "interval_seconds: 0 is not a number from 1 "),
        ("to = 'syslog://h'", "to: 'syslog://h' has no absolute path; "),
        ("to = 'journal://'\nfacility = 'x'", "facility: 'x' is no facility of syslog; "),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, options: str, said: str) -> None:
    path = tmp_path / "shmetrics.toml"
    path.write_text(f"[[metrics.forward]]\n{options}\n")
    with pytest.raises(ConfigError) as found:
        config.load(str(path))
    assert str(found.value).startswith(f"{path}: metrics.forward[0].{said}")
    assert "secret" not in str(found.value)


def test_a_destination_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "shmetrics.toml"
    path.write_text("[[metrics.forward]]\nto = 'statsd://h'\n" * 2)
    with pytest.raises(
        ConfigError,
        match=r"metrics\.forward\[1\]\.to: 'statsd://h' is the address of an earlier one",
    ):
        config.load(str(path))
