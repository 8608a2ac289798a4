# SPDX-License-Identifier: Apache-2.0
"""Every quota shows how much there may be of something, and how much there is."""

from __future__ import annotations

import shmetrics
from shmetrics.collector.collector import Settings
from tests.nodes.loopback import MIB, Loopback


def test_quotas_show_what_is_used_of_them(loopback: Loopback) -> None:
    """Check that a quota of each family has the use of the fullest family."""
    defaults = Settings()
    for queue in ("a", "b", "x" * 30):
        shmetrics.Counter("jobs", "Jobs", ["queue"]).labels(queue).inc()
    shmetrics.Counter("more", "More", ["queue"]).labels("\N{SNOWMAN}" * 20).inc()
    found = loopback.samples()
    limits = {labels[0][1]: n for labels, n in found.of("shmetrics_quota_limit").items()}
    used = {labels[0][1]: n for labels, n in found.of("shmetrics_quota_used").items()}
    assert limits.keys() == used.keys()
    lanes = defaults.lanes.limits
    assert (used["lanes"], limits["lanes"]) == (1, lanes.lanes)
    assert (used["lanes_per_uid"], limits["lanes_per_uid"]) == (1, lanes.lanes_per_uid)
    assert (used["lane_bytes"], limits["lane_bytes"]) == (581_632, lanes.lane_bytes)
    assert used["series_per_family"] == 3
    assert limits["series_per_family"] == defaults.limits.series_per_family
    assert (used["label_bytes"], limits["label_bytes"]) == (60, defaults.limits.label_bytes)
    assert 0 < used["store_bytes"] < limits["store_bytes"] == 4 * MIB
    loopback.restart()
    found = loopback.samples()
    again = {labels[0][1]: n for labels, n in found.of("shmetrics_quota_used").items()}
    assert again == used  # as they are found in the store, to which a restart adds nothing
