# SPDX-License-Identifier: Apache-2.0
"""OpenShift's node.conf over the configuration of the gatherer: its names are aliases of ours."""

from __future__ import annotations

import logging

import msgspec

from shmetrics.config.gather import GatherConfig
from shmetrics.probes import node_conf

log = logging.getLogger(__name__)

__all__ = ["over"]


def over(config: GatherConfig, path: str) -> GatherConfig:
    """Return a configuration with what a node.conf says in place of the same options.

    Args:
        config: the configuration.
        path: the node.conf.

    Raises:
        ConfigError: one line with the file, the key, its value, and what is allowed.
    """
    said = node_conf.read(path)
    if not said.enabled:
        log.warning("%s: WATCHMAN_METRICS_ENABLED is not true: no command of a gear is run", path)
    gather = config.gather
    replace = msgspec.structs.replace
    return replace(
        config,
        gather=replace(
            gather,
            interval_seconds=round(said.interval_seconds),
            gears=said.gear_directory,
            scripts=replace(
                gather.scripts,
                enabled=said.enabled,
                timeout_seconds=said.script_timeout_seconds,
                unit_timeout_seconds=said.unit_timeout_seconds,
            ),
            lines=replace(
                gather.lines, max_line_bytes=said.line_bytes, metadata=dict(said.metadata)
            ),
            deliver=[
                replace(place, max_line_bytes=max(said.message_bytes, 200))
                for place in gather.deliver
            ],
        ),
    )
