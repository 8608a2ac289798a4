# SPDX-License-Identifier: Apache-2.0
"""The options of one place to which metric lines are delivered."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from shmetrics.config import lines_destination
from shmetrics.config.checks import check_certificate
from shmetrics.config.lines_destination import LinesDestination
from shmetrics.config.section import Section

MOST_DESTINATIONS = 16
_KIB = 1024
_MIB = 1024 * _KIB
#: Facilities of syslog by name (RFC 5424, table 1).
FACILITIES: Final = {
    **dict(zip(("kern", "user", "mail", "daemon", "auth", "syslog"), range(6), strict=True)),
    **{f"local{number}": 16 + number for number in range(8)},
}


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
    facility: Annotated[
        str, Meta(description="Facility of syslog: user, daemon, local0 to local7, or another.")
    ] = "user"
    ca_file: Annotated[
        str, Meta(description="Certificate authorities for syslog+tls. Empty: the system's.")
    ] = ""
    cert_file: Annotated[
        str, Meta(description="Our certificate for syslog+tls, if the server wants one.")
    ] = ""
    key_file: Annotated[str, Meta(description="The key of that certificate.")] = ""
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
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="Longest time of one attempt to send a batch.")
    ] = 10.0
    give_up_seconds: Annotated[
        float,
        Meta(ge=0, le=86400, description="How long lines are tried again if nobody takes them."),
    ] = 300.0
    max_waiting_bytes: Annotated[
        int, Meta(ge=64 * _KIB, le=1 << 40, description="Memory for lines that wait.")
    ] = 4 * _MIB

    def __post_init__(self) -> None:
        try:
            found = lines_destination.parse(self.to)
        except ValueError as error:
            raise ValueError(f"to: {error}") from None
        if self.facility not in FACILITIES:
            raise ValueError(
                f"facility: {self.facility!r} is none of syslog's; user, daemon, local0 to local7 "
                "are"
            )
        for option in ("ca_file", "cert_file", "key_file"):
            if getattr(self, option) and found.scheme != "syslog+tls":
                raise ValueError(f"{option}: is for syslog+tls://, which {self.to!r} is not")
        check_certificate(self.cert_file, self.key_file)

    @property
    def destination(self) -> LinesDestination:
        """Return `to`, parsed."""
        return lines_destination.parse(self.to)


EXAMPLE = Deliver(to="syslog:///dev/log")
