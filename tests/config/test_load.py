# SPDX-License-Identifier: Apache-2.0
"""A bad configuration is one line that names place, option, value and mend; a good one is kept."""

import os
import socket
from pathlib import Path

import pytest

from shmetrics import config
from shmetrics.errors import ConfigError


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "shmetrics.toml"
    path.write_text(text)
    return str(path)


def problem(tmp_path: Path, text: str) -> str:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_nothing_given_is_the_defaults() -> None:
    found = config.load()
    assert found == config.Config()
    assert found.address == ("127.0.0.1", 9464)
    assert found.constant_labels == {"hostname": socket.gethostname()}
    assert found.registration.uids() == frozenset((0, os.geteuid()))
    assert found.lane.total_bytes <= 512 * 1024


def test_every_option_can_be_set(tmp_path: Path) -> None:
    text = """
        listen = "[::1]:0"
        web_config = "/etc/web.yml"
        runtime_dir = "/run/x"
        tick_seconds = 2
        constant_labels = {}
        oslo_metrics_socket = "/var/tmp/metrics_collector.sock"
        oslo_metrics_socket_mode = 0o600
        [lane]
        records = 64
        dictionary_bytes = 131072
        spill_bytes = 81920
        open_calls = 2048
        [registration]
        allow_uids = [0, "root", 4711]
        allow_gids = ["root", 4712]
        max_lanes = 3
        socket_mode = 0o660
        [store]
        max_bytes = 2097152
        max_series_per_family = 5
        max_label_bytes = 99
        [web]
        max_connections = 9
        max_head_bytes = 2048
        max_headers = 8
        max_waiting_bytes = 1048576
        request_seconds = 1.5
        answer_seconds = 2
        idle_seconds = 3
    """
    found = config.load(write(tmp_path, text))
    assert found == config.Config(
        listen="[::1]:0",
        web_config="/etc/web.yml",
        runtime_dir="/run/x",
        tick_seconds=2.0,
        constant_labels={},
        oslo_metrics_socket="/var/tmp/metrics_collector.sock",
        oslo_metrics_socket_mode=0o600,
        lane=config.Lane(records=64, dictionary_bytes=131072, spill_bytes=81920, open_calls=2048),
        registration=config.Registration(
            allow_uids=[0, "root", 4711], allow_gids=["root", 4712], max_lanes=3, socket_mode=0o660
        ),
        store=config.Store(max_bytes=2097152, max_series_per_family=5, max_label_bytes=99),
        web=config.Web(
            max_connections=9,
            max_head_bytes=2048,
            max_headers=8,
            max_waiting_bytes=1 << 20,
            request_seconds=1.5,
            answer_seconds=2.0,
            idle_seconds=3.0,
        ),
    )
    assert found.address == ("::1", 0)
    assert found.registration.uids() == frozenset((0, 4711))


def test_anybody_may_be_allowed(tmp_path: Path) -> None:
    found = config.load(write(tmp_path, '[registration]\nallow_uids = "any"'))
    assert found.registration.uids() is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lisen = 1", "lisen: no such option; did you mean listen?"),
        ("[lane]\nring = 1", "lane.ring: no such option; there are records, dictionary_bytes, "
         "spill_bytes, open_calls"),
        ("[lanes]\nrecords = 64", "lanes: no such option; did you mean lane?"),
        ("[lane]\nrecords = 1000", "lane.records: 1000 is not a power of two; try 1024"),
        ("[lane]\nrecords = 4", "lane.records: 4 is not a whole number from 64 to 262_144"),
        ("[lane]\nrecords = '4'", "lane.records: '4' is not a whole number from 64 to 262_144"),
        ("[lane]\nspill_bytes = 4097", "lane.spill_bytes: 4097 is not a whole number from 65_536 "
         "to 16_777_216, in steps of 8"),
        ("lane = 3", "lane: 3 is not a table"),
        ("tick_seconds = 0", "tick_seconds: 0 is not a number from 0.01 to 60"),
        ("tick_seconds = nan", "tick_seconds: nan is not a number from 0.01 to 60"),
        ("tick_seconds = inf", "tick_seconds: inf is not a number from 0.01 to 60"),
        ("tick_seconds = true", "tick_seconds: True is not a number from 0.01 to 60"),
        ("oslo_metrics_socket_mode = 660",
         "oslo_metrics_socket_mode: 660 is not a whole number from 0o0 to 0o777"),
        ("listen = '9464'", "listen: '9464' is not HOST:PORT with a port from 0 to 65535"),
        ("listen = 'h:65536'", "listen: 'h:65536' is not HOST:PORT with a port from 0 to 65535"),
        ("listen = '::1:80'", "listen: '::1:80' is not HOST:PORT; an IPv6 address needs brackets, "
         "[::1]:9464"),
        ("listen = 9464", "listen: 9464 is not a string"),
        ("[constant_labels]\n1a = 'x'", "constant_labels.1a: '1a' is not a label name; letters, "
         "digits and _ make one, and it begins with no digit and no __"),
        ("[constant_labels]\nle = 'x'", "constant_labels.le: 'le' is Prometheus's own; rename it"),
        ("[constant_labels]\na = 1", "constant_labels: {'a': 1} is not a string"),
        ("[registration]\nallow_uids = 'all'",
         "registration.allow_uids: 'all' is neither \"own\" nor \"any\" nor a list of users"),
        ("[registration]\nallow_uids = 7", "registration.allow_uids: 7 is not a string or a list"),
        ("[registration]\nallow_uids = [1.5]",
         "registration.allow_uids[0]: 1.5 is not a number or a name"),
        ("[registration]\nallow_uids = ['no-such-user']",
         "registration.allow_uids: there is no user 'no-such-user' on this node"),
        ("[registration]\nallow_uids = [-1]",
         "registration.allow_uids: -1 is not the number of a user"),
        ("[registration]\nallow_gids = 'root'", "registration.allow_gids: 'root' is not a list"),
        ("[registration]\nallow_gids = ['no-such-group']",
         "registration.allow_gids: there is no group 'no-such-group' on this node"),
        ("[registration]\nallow_gids = [4294967295]",
         "registration.allow_gids: 4294967295 is not the number of a group"),
        ("[registration]\nmax_per_second = 0",
         "registration.max_per_second: 0 is not a number from 0.1 to 10_000"),
        ("[store]\nmax_bytes = 1",
         "store.max_bytes: 1 is not a whole number from 1_048_576 to 1_099_511_627_776"),
        ("labels = 1", "labels: 1 is not a list"),
        ("[[traces.forward]]", "traces.forward[0].to: this option is required"),
        ("[[traces.forward]]\nto = 'h:1'", "traces.forward[0].to: 'h:1' is no destination; write "
         "otlp+http://host:4318/v1/traces, otlp+grpc://host:4317 or a connection string of "
         "OSProfiler"),
        ("[[traces.forward]]\nto = 'otlp://h'\nbatch = 1", "traces.forward[0].batch: no such "
         "option; did you mean batch_spans?"),
        ("[[traces.forward]]\nto = 'otlp://h'\nbatch_spans = 0", "traces.forward[0].batch_spans: "
         "0 is not a whole number from 1 to 100_000"),
        ("[[traces.forward]]\nto = 'otlp://h'\nheaders = {'a b' = ''}", "traces.forward[0].headers:"
         " 'a b' is not the name of a header; letters, digits, - and _ make one"),
        ("[[traces.forward]]\nto = 'otlp://h'\nheaders = {a = \"b\\n\"}", "traces.forward[0]."
         "headers.a: the value is not printable ASCII"),
        ("[[traces.forward]]\nto = 'redis://h'\nca_file = 'x'", "traces.forward[0].ca_file: is for "
         "OTLP, and 'redis://h' is another protocol; leave it out"),
        ("[[traces.forward]]\nto = 'messaging://'", "traces.forward[0].transport_url: messaging:// "
         "needs it, such as rabbit://host:5672/"),
        ("[[traces.forward]]\nto = 'redis://:a@h'\n[[traces.forward]]\nto = 'redis://:b@h'",
         "traces.forward[1].to: 'redis://h' is the address of an earlier one; remove one"),
        ("labels = [1]", "labels[0]: 1 is not a table"),
        ("[[labels]]\nlabel = 'a'\ndrop = true\n" * 101,
         "labels: [{'label': 'a', 'drop': True}, {'label': 'a', 'drop': Tru... is not a list of at "
         "most 100"),
        ("[[labels]]\nhash = 3", "labels[0].label: this option is required"),
        ("[[labels]]\nlabel = 'a'\ndrops = true", "labels[0].drops: no such option; did you mean "
         "drop?"),
        ("[[labels]]\nlabel = ' 1'\ndrop = true", "labels[0].label: ' 1' is no name here; "
         "printable characters but spaces make one"),
        ("[[labels]]\nlabel = 'a'\nfamily = 'b c'\ndrop = true", "labels[0].family: 'b c' is no "
         "name here; printable characters but spaces make one"),
        ("[[labels]]\nlabel = 'a'", "labels[0].label: 'a' has nothing; say one of keep, drop, hash "
         "and rewrite"),
        ("[[labels]]\nlabel = 'a'\ndrop = true\nhash = 2", "labels[0].label: 'a' has drop and "
         "hash; say one of keep, drop, hash and rewrite"),
        ("[[labels]]\nlabel = 'a'\nhash = 65537",
         "labels[0].hash: 65537 is not a whole number from 0 to 65_536"),
        ("[[labels]]\nlabel = 'a'\nhash = -1",
         "labels[0].hash: -1 is not a whole number from 0 to 65_536"),
        ("[[labels]]\nlabel = 'a'\nrewrite = [{ match = '(', replace = '' }]",
         "labels[0].rewrite[0].match: '(' is not a pattern that RE2 takes: missing ): ("),
        ("[[labels]]\nlabel = 'a'\nrewrite = [{ match = '', replace = '' }, { match = '(?=a)', "
         "replace = '' }]", "labels[0].rewrite[1].match: '(?=a)' is not a pattern that RE2 takes: "
         "invalid perl operator: (?="),
        ("[[labels]]\nlabel = 'a'\nrewrite = [{ match = '(a)', replace = '$1b' }]",
         "labels[0].rewrite[0].replace: there is no group '1b' in `match`; ${1} is the first "
         "group"),
        ("[[labels]]\nlabel = 'a'\nrewrite = [{ match = 'a' }]",
         "labels[0].rewrite[0].replace: this option is required"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert problem(tmp_path, text) == message


def test_no_toml_at_all(tmp_path: Path) -> None:
    assert problem(tmp_path, "listen = ").startswith("this is not TOML: ")
    path = tmp_path / "shmetrics.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"shmetrics\.toml: this is not TOML: "):
        config.load(str(path))


def test_no_file(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=f"^{missing}: No such file or directory$"):
        config.load(missing)


def test_flags_override_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "listen = 'localhost:1'\nruntime_dir = '/a'")
    found = config.load(path, flags={"--listen": "localhost:2"})
    assert (found.listen, found.runtime_dir) == ("localhost:2", "/a")


def test_a_bad_flag_is_named_as_a_flag(tmp_path: Path) -> None:
    path = write(tmp_path, "listen = 'localhost:1'")
    with pytest.raises(ConfigError) as caught:
        config.load(path, flags={"--listen": "nonsense"})
    assert str(caught.value) == (
        "--listen: 'nonsense' is not HOST:PORT with a port from 0 to 65535"
    )


def test_addresses_survive_being_written() -> None:
    for text in ("127.0.0.1:9464", "[::1]:80", "localhost:0", ":65535"):
        assert str(config.Config(listen=text).address) == text
