# SPDX-License-Identifier: Apache-2.0
"""The parts of the gatherer for what units print: lines, probes, text files, pushed lines."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from shmetrics.config.gather import Gather, GatherConfig
from shmetrics.delivery.deliveries import Deliveries
from shmetrics.errors import ShmetricsError
from shmetrics.gatherer import directory
from shmetrics.gatherer.lines import Lines
from shmetrics.gatherer.owners import Owners
from shmetrics.gatherer.part import Part
from shmetrics.gatherer.passes import Follower
from shmetrics.gatherer.probe_part import ProbePart
from shmetrics.gatherer.push_part import PushPart
from shmetrics.gatherer.samples import Samples
from shmetrics.gatherer.textfiles import TextfileSeries
from shmetrics.gatherer.unit_lines import Numbers, UnitLines
from shmetrics.lines.line import IDENTITY, Limits
from shmetrics.lines.recorder import Recorder
from shmetrics.probes import discovery
from shmetrics.probes.discovery import Timing
from shmetrics.probes.limits import ProbeLimits
from shmetrics.probes.spawner_client import Listening, SpawnerClient, Started, Way
from shmetrics.push import protocol
from shmetrics.units.unit import Unit

log = logging.getLogger(__name__)

NO_SOCKET = "none"


class OutputParts(NamedTuple):
    """The parts for what units print.

    Attributes:
        parts: what runs in the loop; the first has to be closed last.
        followers: what is done in each pass.
    """

    parts: list[Part]
    followers: list[Follower]


def open_output_parts(
    config: GatherConfig,
    path: str,
    units: Callable[[], Mapping[str, Unit]],
    numbers: Sequence[Numbers] = (),
) -> OutputParts:
    """Open what the configuration asks for.

    Args:
        config: the configuration.
        path: its file; "": there is none.
        units: returns the units that there are, by id.
        numbers: what is read of units, to deliver it if that is wanted.

    Raises:
        ShmetricsError: one cannot be opened; the message is one line for the user.
    """
    gather = config.gather
    limits = Limits(
        line_bytes=gather.lines.max_line_bytes,
        metadata=IDENTITY | frozenset(gather.lines.metadata) | frozenset(gather.lines.labels),
    )
    deliveries = Deliveries(gather.deliver) if gather.deliver else None
    recorder = Recorder(gather.lines.labels, stale_seconds=gather.lines.stale_seconds)
    lines = Lines(recorder, deliveries, limits)
    samples = Samples(lines.count, gather.lines.stale_seconds)
    owners = Owners(gather.lines.metadata)
    probes = _probes(config, path, lines, samples, owners)
    parts: list[Part] = [lines, probes]
    if gather.lines.socket != NO_SOCKET:
        try:
            parts.append(PushPart(_socket_of(gather), lines, units, owners.of))
        except ShmetricsError as error:
            if gather.lines.socket:
                raise
            log.warning("no lines can be pushed: %s; see gather.lines.socket", error)
    followers: list[Follower] = [lines, probes]
    if gather.lines.of_units:
        followers.append(UnitLines(numbers, lines, owners))
    if gather.textfile.directories:
        textfile = gather.textfile
        followers.append(TextfileSeries(textfile.directories, textfile.stale_seconds, samples))
    return OutputParts(parts, followers)


def _probes(
    config: GatherConfig, path: str, lines: Lines, samples: Samples, owners: Owners
) -> ProbePart:
    gather, scripts = config.gather, config.gather.scripts
    return ProbePart(
        SpawnerClient(_way(config, path)),
        discovery.configured(gather.probe, os.geteuid()),
        Timing(gather.interval_seconds, scripts.timeout_seconds) if scripts.enabled else None,
        ProbeLimits(
            min(scripts.most_at_once, config.spawner.most_at_once),
            scripts.unit_timeout_seconds,
            gather.interval_seconds,
        ),
        lines,
        samples,
        owners,
    )


def _way(config: GatherConfig, path: str) -> Way:
    """Return the way to the node's spawner, or without one to a spawner of our own."""
    socket = config.spawner.socket
    return Listening(socket) if os.path.exists(socket) else Started(path)


def _socket_of(gather: Gather) -> str:
    if gather.lines.socket:
        return gather.lines.socket
    return os.path.join(directory.find(), protocol.SOCKET_NAME)
