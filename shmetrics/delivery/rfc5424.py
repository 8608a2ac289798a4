# SPDX-License-Identifier: Apache-2.0
"""A message of syslog (RFC 5424), and its frames on streams (RFC 6587, RFC 5425).

The message is ASCII, or UTF-8 without a byte order mark: section 6.4 allows MSG-ANY, and daemons
pass a mark on as text.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

_VERSION: Final = 1
_INFORMATIONAL: Final = 6  # section 6.2.1, table 2
_NIL: Final = "-"
_MOST_HOSTNAME, _MOST_APP_NAME = 255, 48  # section 6


class Header:
    """The parts of the header that all messages have in common."""

    def __init__(self, facility: int, hostname: str, app_name: str = "shmetrics") -> None:
        """Set them.

        Args:
            facility: its number, section 6.2.1.
            hostname: the name of this node.
            app_name: the name of this program.
        """
        self._priority = facility * 8 + _INFORMATIONAL
        # PROCID is nil: the line is of another process than the one that sends it.
        names = _name(hostname, _MOST_HOSTNAME), _name(app_name, _MOST_APP_NAME)
        self._names = " ".join((*names, _NIL, "metric", _NIL))

    def message(self, time_ns: int, text: str) -> bytes:
        """Return a message; time_ns: nanoseconds since 1970; text: without control characters."""
        return f"<{self._priority}>{_VERSION} {_timestamp(time_ns)} {self._names} {text}".encode()


def octet_counted(message: bytes) -> bytes:
    """Return a frame with its length before it: RFC 6587, section 3.4.1; RFC 5425, section 4.3."""
    return b"%d %s" % (len(message), message)


def ended_by_newline(message: bytes) -> bytes:
    """Return a frame with a newline behind it: RFC 6587, section 3.4.2."""
    return message + b"\n"


def _timestamp(time_ns: int) -> str:
    """Return a TIMESTAMP, section 6.2.3: of microseconds, in UTC."""
    seconds, rest_ns = divmod(time_ns, 10**9)
    at = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06}Z"


def _name(text: str, most: int) -> str:
    """Return a PRINTUSASCII of section 6, nil for nothing."""
    return "".join(c if "!" <= c <= "~" else "_" for c in text)[:most] or _NIL
