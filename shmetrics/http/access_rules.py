# SPDX-License-Identifier: Apache-2.0
"""Who may come in, as the web configuration file says.

The file, and those that it names, may change at any time: they are looked at twice a second.
Whoever writes them may be at it still, or may have been killed at it. So they are read when they
have been left alone for a second, and taken if they are right and say of all that was in force what
becomes of it. Otherwise that is logged and counted once, and what was in force stays so.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from shmetrics.config import web_file
from shmetrics.config.web_file import WebFile
from shmetrics.errors import ConfigError
from shmetrics.http import tls
from shmetrics.http.observer import NullObserver, Observer
from shmetrics.http.settled_files import FilesState, SettleTimer, changed_ns, state_of

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
SETTLE_SECONDS = 1.0  # so long nobody touches a file that is whole
RETRY_SECONDS = 10.0  # what is wrong may be that there are no descriptors left
START_TRIES = 10


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


class Change(NamedTuple):
    """What became of the files, and what to make of it: other rules, or why there are none."""

    state: FilesState
    outcome: Rules | ConfigError


class AccessRules:
    """The rules of a web configuration file. No path: everybody may come in.

    rules: what is in force now.
    """

    def __init__(
        self,
        path: str = "",
        observer: Observer = NullObserver(),  # noqa: B008
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Reads the file, once nobody writes it. Raises ConfigError, one line."""
        self._path = path
        self._observer = observer
        self._monotonic = monotonic
        self._settling = SettleTimer(monotonic)
        self.rules = Rules(WebFile(""), None)
        self._watched: Collection[str] = ()
        self._judged: FilesState = {}
        self._problem = ""
        self._retry_at = 0.0
        if path:
            self._take(_first(path, sleep))

    async def watch(self) -> None:
        """Looks after the files until it is cancelled; in a thread, for whoever has to go on."""
        while self._path:
            await asyncio.sleep(LOOK_SECONDS)
            self._conclude(await asyncio.to_thread(self._change))

    def look(self) -> None:
        """Looks once."""
        self._conclude(self._change())

    def _change(self) -> Change | None:
        """Reads the files if they have changed and are left alone. Changes no rule."""
        state = state_of(self._watched)
        is_still = self._settling.seconds(state) >= SETTLE_SECONDS
        is_judged = state == self._judged and not self._is_due_again()
        if is_judged or not is_still:
            return None
        outcome: Rules | ConfigError
        try:
            file = web_file.read(self._path)
            named = {*self.rules.file.files(), *file.files()}
            if named != set(self._watched):
                self._watched = named  # which have to be left alone, too
                return None
            outcome = self._judge(Rules(file, _context(file)))
        except ConfigError as error:
            outcome = error
        except Exception as error:  # whatever it is, it must not end the watch
            outcome = ConfigError(f"{self._path}: {type(error).__name__}: {error}")
        return Change(state, outcome) if state_of(self._watched) == state else None

    def _is_due_again(self) -> bool:
        return bool(self._problem) and self._monotonic() >= self._retry_at

    def _judge(self, rules: Rules) -> Rules:
        """Raises ConfigError, if they may not follow those that are in force."""
        lacks = rules.file.lacks(self.rules.file)
        if (rules.context is None) != (self.rules.context is None):
            lacks = "tls_server_config: TLS begins and ends with a restart of the collector"
        if lacks:
            raise ConfigError(f"{self._path}: {lacks}")
        return rules

    def _conclude(self, change: Change | None) -> None:
        if change is None:
            return
        if isinstance(change.outcome, ConfigError):
            self._judged = change.state
            self._retry_at = self._monotonic() + RETRY_SECONDS
            if str(change.outcome) != self._problem:
                self._problem = str(change.outcome)
                log.error("%s; what was in force before stays so", self._problem)
                self._observer.reloaded("refused")
            return
        self._take(change)
        log.info("%s: taken anew", self._path)
        self._observer.reloaded("taken")

    def _take(self, change: Change) -> None:
        assert isinstance(change.outcome, Rules)
        self.rules, self._problem = change.outcome, ""
        self._watched = self.rules.file.files()
        self._judged = {path: change.state[path] for path in self._watched}

    @property
    def context(self) -> ssl.SSLContext | None:
        """For the TLS of the next connection."""
        return self.rules.context

    def admits(self, transport: asyncio.Transport) -> bool:
        """Whether the certificate at the other end, which is verified, is for a name that may."""
        wanted = self.rules.file.tls
        names = wanted.client_allowed_sans if wanted else []
        return not names or tls.is_for(transport.get_extra_info("peercert") or {}, names)


def _first(path: str, sleep: Callable[[float], None]) -> Change:
    """The rules to begin with. Raises ConfigError."""
    paths = [path]
    for _ in range(START_TRIES):
        state = state_of(paths)
        if time.time_ns() - changed_ns(state) < SETTLE_SECONDS * 1e9:
            sleep(SETTLE_SECONDS)
            if state_of(paths) != state:
                continue
        file = web_file.read(path)
        if file.files() != paths:
            paths = file.files()
            continue
        rules = Rules(file, _context(file))
        if state_of(paths) == state:
            return Change(state, rules)
    raise ConfigError(f"{path}: this, or a file that it names, does not stop changing")


def _context(file: WebFile) -> ssl.SSLContext | None:
    """Raises ConfigError for what stands there and cannot be had."""
    if file.users:
        try:
            import bcrypt  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"{file.path}: basic_auth_users: bcrypt checks these and is not installed; "
                "pip install 'shmetrics[collector]'"
            ) from None
    return tls.context_of(file)
