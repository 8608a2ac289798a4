# SPDX-License-Identifier: Apache-2.0
"""A destination of metric lines, by its address in the configuration.

===================================  ========================================================
`syslog:///dev/log`                  a unix socket of a syslog daemon
`syslog+udp://host:514`              RFC 5426
`syslog+tcp://host:514`              RFC 6587, with octet counting
`syslog+tls://host:6514`             RFC 5425
`journal://`                         systemd's journal; `journal:///path` for another socket
`file:///var/log/units/{unit}.log`   a file per unit; `{kind}` may be in it, too
===================================  ========================================================
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
#: The default ports (IANA's syslog and syslog-tls).
PORTS: Final = {"syslog+udp": 514, "syslog+tcp": 514, "syslog+tls": 6514}
PLACES: Final = ("unit", "kind")
_BRACES = re.compile(r"\{([^{}]*)\}|[{}]")
_EXAMPLES: Final = (
    "write syslog:///dev/log, syslog+udp://host, syslog+tcp://host, syslog+tls://host, journal:// "
    "or file:///var/log/units/{unit}.log"
)


class LinesDestination(NamedTuple):
    """A destination.

    Attributes:
        scheme: the part before `://`.
        host: the host of a network address, otherwise "".
        port: its port, otherwise 0.
        path: the path of a socket or of files, otherwise "".
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""


def parse(text: str) -> LinesDestination:
    """Return the destination with an address.

    Raises:
        ValueError: the address is wrong; the message has correct ones.
    """
    scheme, slashes, rest = text.partition("://")
    if slashes and scheme in PORTS:
        return _network(text, scheme)
    if not slashes or scheme not in ("syslog", "journal", "file"):
        raise ValueError(f"{text!r} is no destination of lines; {_EXAMPLES}")
    if scheme == "journal" and not rest:
        rest = JOURNAL_SOCKET
    if not rest.startswith("/"):
        more = "; for a host: syslog+udp://, syslog+tcp:// or syslog+tls://"
        raise ValueError(
            f"{text!r} has no absolute path; write {scheme}:///path{more * (scheme == 'syslog')}"
        )
    if scheme == "file":
        _check_places(text, rest)
    return LinesDestination(scheme, path=rest)


def _network(text: str, scheme: str) -> LinesDestination:
    parts = urlsplit(text)
    try:
        port = parts.port or PORTS[scheme]
    except ValueError:
        raise ValueError(f"{text!r} has a wrong port; write a number from 1 to 65535") from None
    if not parts.hostname:
        raise ValueError(f"{text!r} names no host; write {scheme}://host:port")
    if parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError(f"{text!r} has more than a host and a port; write {scheme}://host:port")
    return LinesDestination(scheme, parts.hostname, port)


def _check_places(text: str, path: str) -> None:
    for found in _BRACES.finditer(path):
        if found[1] not in PLACES:
            raise ValueError(f"{text!r}: {found[0]!r} is not {{unit}} or {{kind}}")
    if "{" in path.split("/")[1] or path.endswith("/"):
        raise ValueError(
            f"{text!r} names no file, or has {{…}} in its first folder; an example is "
            "file:///var/log/units/{unit}.log"
        )
