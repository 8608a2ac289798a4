# SPDX-License-Identifier: Apache-2.0
"""OpenShift's node.conf: its names and defaults take the place of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from shmetrics.config.deliver import Deliver
from shmetrics.config.gather import Gather, GatherConfig
from shmetrics.gatherer.node_conf import over

CONFIG = GatherConfig(gather=Gather(quota=False, deliver=[Deliver(to="syslog:///dev/log")]))


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
