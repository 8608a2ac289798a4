# SPDX-License-Identifier: Apache-2.0
"""Who may come in, as the web configuration file says now.

Files are looked at anew for each connection and each request, and read when they have changed; a
changed file that is wrong is logged and counted once, and what was in force stays so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from typing import NamedTuple

from shmetrics.config import web_file
from shmetrics.config.web_file import WebFile
from shmetrics.errors import ConfigError
from shmetrics.web import tls
from shmetrics.web.counts import Counts, Uncounted

log = logging.getLogger(__name__)

_Seen = tuple[tuple[int, ...], ...]


class Rules(NamedTuple):
    """What is in force. context: None is no TLS."""

    file: WebFile
    context: ssl.SSLContext | None

    def brings(self) -> dict[str, bool]:
        """What a client has to bring, in words, and whether it has to."""
        return {
            "TLS": self.context is not None,
            "client certificates": self.context is not None
            and self.context.verify_mode is ssl.CERT_REQUIRED,
            "passwords": bool(self.file.users),
        }


class Entrance:
    """The rules of a web configuration file. No path: everybody may come in."""

    def __init__(self, path: str = "", counts: Counts = Uncounted()) -> None:  # noqa: B008
        """Reads the file. Raises ConfigError, one line."""
        self._path = path
        self._counts = counts
        self._rules, self._seen = _read(path) if path else (Rules(WebFile(""), None), ())

    @property
    def rules(self) -> Rules:
        """What is in force now."""
        if self._path:
            seen = _look(self._rules.file.files())
            if seen != self._seen:
                self._seen = seen
                self._take_anew()
        return self._rules

    def _take_anew(self) -> None:
        try:
            rules, seen = _read(self._path)
            if (rules.context is None) != (self._rules.context is None):
                raise ConfigError(
                    f"{self._path}: tls_server_config: TLS begins and ends with a restart of the "
                    "collector"
                )
        except ConfigError as error:
            log.error("%s; what was in force before stays so", error)
            self._counts.reloaded("refused")
            return
        self._rules, self._seen = rules, seen
        log.info("%s: taken anew", self._path)
        self._counts.reloaded("taken")

    @property
    def context(self) -> ssl.SSLContext | None:
        """For the TLS of the next connection."""
        return self.rules.context

    def admits(self, transport: asyncio.Transport) -> bool:
        """Whether the certificate at the other end, which is verified, is for a name that may."""
        wanted = self._rules.file.tls
        names = wanted.client_allowed_sans if wanted else []
        return not names or tls.is_for(transport.get_extra_info("peercert") or {}, names)


def _read(path: str) -> tuple[Rules, _Seen]:
    """Its rules, and how its files looked before they were read: what changes meanwhile is seen
    the next time."""
    seen = _look(web_file.read(path).files())
    file = web_file.read(path)
    if file.users:
        try:
            import bcrypt  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"{path}: basic_auth_users: bcrypt checks these and is not installed; "
                "pip install 'shmetrics[collector]'"
            ) from None
    return Rules(file, tls.context_of(file)), seen


def _look(paths: list[str]) -> _Seen:
    """What tells one state of the files from another."""
    found: list[tuple[int, ...]] = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            found.append((error.errno or 0,))
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(found)
