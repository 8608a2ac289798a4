# SPDX-License-Identifier: Apache-2.0
"""The options of one place to which metric lines are delivered."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shmetrics.config import destination, lines_destination
from shmetrics.config.destination import CaFile, CertFile, Facility, KeyFile, TimeoutSeconds
from shmetrics.config.lines_destination import LinesDestination
from shmetrics.config.section import Section

_KIB = 1024
_MIB = 1024 * _KIB


class Deliver(Section, frozen=True, kw_only=True):
    """A place to which each accepted metric line goes, polled or pushed: a syslog daemon, the
    journal, or a file per unit. By default there is none."""

    to: Annotated[
        str,
        Meta(
            description="syslog:///dev/log, syslog+udp://host:514, syslog+tcp://host:514, "
            "syslog+tls://host:6514, journal://, or file:///var/log/units/{unit}.log."
        ),
    ]
    facility: Facility = "user"
    ca_file: CaFile = ""
    cert_file: CertFile = ""
    key_file: KeyFile = ""
    max_line_bytes: Annotated[
        int,
        Meta(
            ge=200,
            le=60 * _KIB,
            description="Bytes of one line. A longer one becomes several, each with whole metrics.",
        ),
    ] = 1024
    rotate_bytes: Annotated[
        int, Meta(ge=4 * _KIB, le=1 << 40, description="Size at which a file is rotated.")
    ] = 10 * _MIB
    rotate_keep: Annotated[
        int, Meta(ge=0, le=1000, description="Rotated files that are kept, as x.log.1.")
    ] = 5
    batch_seconds: Annotated[
        float, Meta(ge=0.01, le=60, description="How long a line waits for others.")
    ] = 1.0
    timeout_seconds: TimeoutSeconds = 10.0
    give_up_seconds: Annotated[
        float,
        Meta(ge=0, le=86400, description="How long lines are tried again if nobody takes them."),
    ] = 300.0
    max_waiting_bytes: Annotated[
        int,
        Meta(
            ge=destination.LEAST_WAITING_BYTES,
            le=destination.MOST_WAITING_BYTES,
            description="Memory for lines that wait.",
        ),
    ] = 4 * _MIB

    def __post_init__(self) -> None:
        found = destination.parsed(lines_destination.parse, self.to)
        destination.check_facility(self.facility)
        is_tls = found.scheme == "syslog+tls"
        destination.check_tls(self.ca_file, self.cert_file, self.key_file, is_tls, self.to)

    @property
    def destination(self) -> LinesDestination:
        """Return `to`, parsed."""
        return lines_destination.parse(self.to)


EXAMPLE = Deliver(to="syslog:///dev/log")
