# SPDX-License-Identifier: Apache-2.0
"""The rules of access in the web configuration file, also after it has changed.

The file, and the files that it names, are looked at twice a second. Their writer may not have
finished, or may have been killed. So a change is read when nobody has touched the files for a
second. It comes into force if the files are right, and if the file says of each protection that
ends that it ends. Otherwise the error is logged and counted once, and the rules in force stay.
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
SETTLE_SECONDS = 1.0  # a file that nobody has touched for so long is whole
RETRY_SECONDS = 10.0  # a fault may go away by itself, such as too few descriptors
START_TRIES = 10


class Rules(NamedTuple):
    """The rules in force.

    Attributes:
        file: The web configuration file as it was read.
        context: For the TLS of new connections; None without TLS.
    """

    file: WebFile
    context: ssl.SSLContext | None

    def demands(self) -> dict[str, bool]:
        """Return the proofs that a client may bring, in words, each with whether it has to."""
        return {
            "TLS": self.context is not None,
            "client certificates": self.context is not None
            and self.context.verify_mode is ssl.CERT_REQUIRED,
            "passwords": bool(self.file.users),
        }


class Change(NamedTuple):
    """The files after a change, and the outcome: new rules, or the reason why there are none."""

    state: FilesState
    outcome: Rules | ConfigError


class AccessRules:
    """The rules of a web configuration file, kept up to date. An AccessPolicy of the server.

    Attributes:
        rules: the rules in force. Without a file everybody may come in.
    """

    def __init__(
        self,
        path: str = "",
        observer: Observer = NullObserver(),  # noqa: B008
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read the file, when its writer has finished.

        Args:
            path: Of the web configuration file; empty for none.
            observer: Told of each change.
            monotonic: A clock, in seconds.
            sleep: Waits for so many seconds.

        Raises:
            ConfigError: One line: the file or one that it names is wrong, or does not settle.
        """
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
        """Look at the files again and again until cancelled.

        A thread reads them, because a disk may be slow and the loop has to go on.
        """
        while self._path:
            await asyncio.sleep(LOOK_SECONDS)
            self._conclude(await asyncio.to_thread(self._change))

    def look(self) -> None:
        """Look at the files once."""
        self._conclude(self._change())

    def _change(self) -> Change | None:
        """Read the files if they have changed and settled. Changes no rule."""
        state = state_of(self._watched)
        is_settled = self._settling.seconds(state) >= SETTLE_SECONDS
        is_judged = state == self._judged and not self._is_retry_due()
        if is_judged or not is_settled:
            return None
        outcome: Rules | ConfigError
        try:
            file = web_file.read(self._path)
            named = {*self.rules.file.files(), *file.files()}
            if named != set(self._watched):
                self._watched = named  # which have to settle, too
                return None
            outcome = self._judge(Rules(file, _context(file)))
        except ConfigError as error:
            outcome = error
        except Exception as error:  # no fault may end the watch
            outcome = ConfigError(f"{self._path}: {type(error).__name__}: {error}")
        return Change(state, outcome) if state_of(self._watched) == state else None

    def _is_retry_due(self) -> bool:
        return bool(self._problem) and self._monotonic() >= self._retry_at

    def _judge(self, rules: Rules) -> Rules:
        """Return the rules, if they may follow those in force.

        Raises:
            ConfigError: Some protection is missing, and the file does not say that it ends.
        """
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
        """Return the context for the TLS of the next connection; None without TLS."""
        return self.rules.context

    def admits(self, transport: asyncio.Transport) -> bool:
        """Return whether the client's certificate, already verified, has an allowed name."""
        wanted = self.rules.file.tls
        names = wanted.client_allowed_sans if wanted else []
        return not names or tls.is_for(transport.get_extra_info("peercert") or {}, names)


def _first(path: str, sleep: Callable[[float], None]) -> Change:
    """Read the rules to begin with, when the files have settled.

    Raises:
        ConfigError: They are wrong, or do not settle.
    """
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
    """Make the TLS context that the file asks for; None without TLS.

    Raises:
        ConfigError: The file asks for what cannot be had.
    """
    if file.users:
        try:
            import bcrypt  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"{file.path}: basic_auth_users: bcrypt checks these and is not installed; "
                "pip install 'shmetrics[collector]'"
            ) from None
    return tls.context_of(file)
