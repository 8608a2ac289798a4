# SPDX-License-Identifier: Apache-2.0
"""The translation of a configuration into the settings of the collector's rooms."""

from __future__ import annotations

from pathlib import Path

from shmetrics import runtime_dir
from shmetrics.collector.collector import Settings
from shmetrics.collector.directory import Directory, half_of_file_system
from shmetrics.collector.rlimits import lanes_that_fit
from shmetrics.config import Config
from shmetrics.label_rules.rule import Rule
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes
from shmetrics.lanes.lane_quota import LaneLimits
from shmetrics.registration.pending_connections import MAX_PENDING
from shmetrics.store.limits import Limits


def open_directory(config: Config) -> Directory:
    """Make and lock the runtime directory, which users who may register can search.

    Raises DirectoryError.
    """
    path = Path(config.runtime_dir or runtime_dir.choose())
    registration = config.registration
    if not registration.lets_others_in():
        return Directory(path)
    access = registration.socket_access()
    return Directory(path, access.search_mode, access.group)


def settings_of(config: Config, lanes_dir: Path) -> Settings:
    """Return the collector's settings from a configuration, as far as this node allows them."""
    sizes = Sizes(
        config.lane.records,
        config.lane.dictionary_bytes,
        config.lane.cells,
        config.lane.open_calls,
    )
    registration = config.registration
    limits = LaneLimits(
        lanes_that_fit(registration.max_lanes, MAX_PENDING + config.web.max_connections),
        registration.max_lanes_per_uid,
        registration.max_lane_bytes or half_of_file_system(lanes_dir),
    )
    return Settings(
        config.store.max_bytes,
        Limits(
            config.store.max_series_per_family,
            config.store.max_label_bytes,
            config.store.max_families,
            config.store.max_families_per_lane,
            config.store.max_series_per_lane,
            config.store.max_exemplars,
            config.store.native_histograms,
            config.store.max_families_per_uid,
        ),
        LaneSettings(sizes, limits),
        config.store.series_idle_seconds,
        label_rules_of(config),
        config.store.max_bytes_per_uid or config.store.max_bytes // 2,
        config.store.old_shape_seconds,
        config.store.dead_gauge_seconds,
    )


def label_rules_of(config: Config) -> tuple[Rule, ...]:
    """Return the label rules of a configuration, in their order."""
    return tuple(section.rule() for section in config.labels)
