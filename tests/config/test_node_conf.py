# SPDX-License-Identifier: Apache-2.0
"""Promise: node.conf is read as OpenShift reads it, and its options take the place of ours."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.config import node_conf
from shmetrics.config.deliver import Deliver
from shmetrics.config.gather import Gather, GatherConfig
from shmetrics.config.node_conf import NodeConf, over, parse
from shmetrics.errors import ConfigError

CONFIG = GatherConfig(gather=Gather(quota=False, deliver=[Deliver(to="syslog:///dev/log")]))
DEFAULTS = NodeConf(
    enabled=False,
    interval_seconds=60,
    metadata={
        "appName": "OPENSHIFT_APP_NAME",
        "gear": "OPENSHIFT_GEAR_UUID",
        "app": "OPENSHIFT_APP_UUID",
        "ns": "OPENSHIFT_NAMESPACE",
    },
    unit_timeout_seconds=3,
    script_timeout_seconds=1,
    line_bytes=2000,
    message_bytes=1024,
    gear_directory="/var/lib/openshift",
)

FILE = """
# These should not be left at default values
PUBLIC_HOSTNAME="node1.example.com"     # The node's name
BROKER_HOST='broker.example.com'
  CLOUD_DOMAIN=example.com
PORTS_PER_USER=5
EMPTY=
export GEAR_BASE_DIR=/srv/gears
WATCHMAN_METRICS_ENABLED=true
WATCHMAN_METRICS_INTERVAL=30
METRICS_METADATA="appName:OPENSHIFT_APP_NAME, gearUuid:OPENSHIFT_GEAR_UUID"
CGROUPS_METRICS_KEYS="cpu.stat,cpuacct.stat,memory.usage_in_bytes"
MAX_CGROUPS_METRICS_MESSAGE_LENGTH=512
METRICS_PER_GEAR_TIMEOUT=4.5
METRICS_PER_SCRIPT_TIMEOUT="2"
METRICS_MAX_LINE_LENGTH=1000
"""


def test_without_a_word_there_are_the_defaults() -> None:
    assert parse("") == DEFAULTS
    assert parse("# nothing\n\n") == DEFAULTS


def test_a_file_of_a_node_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "node.conf"
    path.write_text(FILE)
    assert node_conf.read(str(path)) == NodeConf(
        enabled=True,
        interval_seconds=30,
        metadata={"appName": "OPENSHIFT_APP_NAME", "gearUuid": "OPENSHIFT_GEAR_UUID"},
        unit_timeout_seconds=4.5,
        script_timeout_seconds=2,
        line_bytes=1000,
        message_bytes=512,
        gear_directory="/srv/gears",
    )


def test_an_interval_is_never_below_ten_seconds() -> None:
    assert parse("WATCHMAN_METRICS_INTERVAL=3").interval_seconds == 10


@given(st.text(st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_a_value_is_what_a_shell_makes_of_it(value: str) -> None:
    found = parse(f"A=b\nGEAR_BASE_DIR={shlex.quote(value)} # c\n")
    assert found.gear_directory == (value or "/var/lib/openshift")


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        assert str(error).startswith("node.conf: ")
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("what", 'x: line 1: this is not of the form KEY="value"'),
        ("\nA B=1", 'x: line 2: this is not of the form KEY="value"'),
        ('A="open', "x: line 1: A: No closing quotation"),
        ("WATCHMAN_METRICS_INTERVAL=0", "x: WATCHMAN_METRICS_INTERVAL: '0' is not a number from"),
        ("WATCHMAN_METRICS_INTERVAL=nan", "x: WATCHMAN_METRICS_INTERVAL: 'nan' is not a number"),
        ("METRICS_PER_GEAR_TIMEOUT=soon", "x: METRICS_PER_GEAR_TIMEOUT: 'soon' is not a number"),
        ("METRICS_METADATA=a", "x: METRICS_METADATA: 'a' is not of the form label:VARIABLE"),
        ("METRICS_METADATA=a:A,a:B", "x: METRICS_METADATA: 'a' is there twice; remove one"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x")
    assert str(caught.value).startswith(error)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"node\.conf: No such file or directory"):
        node_conf.read(str(tmp_path / "node.conf"))
    (tmp_path / "node.conf").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"node\.conf: this is not UTF-8"):
        node_conf.read(str(tmp_path / "node.conf"))


def test_every_name_has_its_option(tmp_path: Path) -> None:
    file = tmp_path / "node.conf"
    file.write_text(
        'GEAR_BASE_DIR="/gears"  # comment\nWATCHMAN_METRICS_ENABLED=true\n'
        "WATCHMAN_METRICS_INTERVAL=30\nMETRICS_PER_GEAR_TIMEOUT=4\nMETRICS_PER_SCRIPT_TIMEOUT=2\n"
        "METRICS_METADATA=app:OPENSHIFT_APP_UUID\nMETRICS_MAX_LINE_LENGTH=500\n"
        "MAX_CGROUPS_METRICS_MESSAGE_LENGTH=600\n"
    )
    found = over(CONFIG, str(file)).gather
    assert (found.interval_seconds, found.gears, found.quota) == (30, "/gears", False)
    scripts = found.scripts
    assert (scripts.enabled, scripts.timeout_seconds, scripts.unit_timeout_seconds) == (True, 2, 4)
    assert (found.lines.max_line_bytes, found.lines.metadata) == (
        500,
        {"app": "OPENSHIFT_APP_UUID"},
    )
    assert [place.max_line_bytes for place in found.deliver] == [600]


def test_its_defaults_are_openshifts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "node.conf"
    file.write_text("")
    found = over(CONFIG, str(file)).gather
    assert not found.scripts.enabled
    assert found.lines == Gather().lines
    assert found == Gather(quota=False, deliver=CONFIG.gather.deliver, scripts=found.scripts)
    assert "WATCHMAN_METRICS_ENABLED is not true" in caplog.text
