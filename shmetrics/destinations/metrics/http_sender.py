# SPDX-License-Identifier: Apache-2.0
"""A sender by HTTP: one POST per part, each on a connection of its own.

Passwords and tokens are in files, which are read again for each request: whoever renews them needs
no restart.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shmetrics import plain_file
from shmetrics.config.client_tls import client_context
from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics.encoder import Part
from shmetrics.errors import ConfigError
from shmetrics.forwarding.byte_stream import said
from shmetrics.forwarding.sender import Outcome, Refused, TryAgain
from shmetrics.http_client import Answer, Clock, Peer, exchange, retry_after_seconds

MOST_ANSWER_BYTES: Final = 64 * 1024
_MOST_SECRET_BYTES: Final = 64 * 1024
_LONGEST_SAID: Final = 200


class RefusedStatus(Refused):
    """A destination refused a part with a status."""

    def __init__(self, why: str, status: int) -> None:
        """Keep the status."""
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Protocol:
    """The protocol that HTTP carries: its headers, and the meaning of its answers.

    Attributes:
        headers: the headers of each request.
        temporary: returns whether a status says that the same may be taken later.
        outcome: returns what an answer of 2xx says of a part, or raises TryAgain or Refused.
        most_answer_bytes: how much of an answer is read.
    """

    headers: Mapping[str, str]
    temporary: Callable[[int], bool]
    outcome: Callable[[Part, Answer], Outcome] = lambda part, answer: Outcome()
    most_answer_bytes: int = MOST_ANSWER_BYTES


class HttpSender:
    """A sender to one URL."""

    def __init__(self, settings: MetricsForward, protocol: Protocol, path: str = "") -> None:
        """Prepare the requests. Nothing is sent yet.

        Args:
            settings: the destination.
            protocol: what is sent.
            path: the path, if it is not the destination's own.

        Raises:
            ConfigError: a file cannot be read.
        """
        to = settings.destination
        self._peer = Peer(to.host, to.port, tls_of(settings))
        self._path = path or to.path
        self._timeout_seconds = settings.timeout_seconds
        self._headers = {**settings.headers, **protocol.headers}
        self._protocol = protocol
        self._authorization = Authorization(settings)
        self._authorization.header()  # so that what is missing is said at the start

    def send(self, parts: Sequence[Part]) -> Outcome:
        """Send a part; see Sender."""
        (part,) = parts  # a forwarder sends parts one at a time
        answer = self._answer(part.content)
        if answer.status // 100 == 2:
            return self._protocol.outcome(part, answer)
        text = answer.body[:_LONGEST_SAID].decode("utf-8", "replace")
        why = ": ".join(filter(None, (f"{answer.status} {answer.reason}", text.strip())))
        if self._protocol.temporary(answer.status):
            raise TryAgain(why, retry_after_seconds(answer.headers.get("Retry-After", "")))
        raise RefusedStatus(why, answer.status)

    def _answer(self, body: bytes) -> Answer:
        clock = Clock(self._timeout_seconds)
        try:
            headers = {**self._headers, **self._authorization.header()}
            return exchange(
                *(self._peer, "POST", self._path, headers, clock, body),
                self._protocol.most_answer_bytes,
            )
        except OSError as error:
            raise TryAgain(said(error)) from None
        except (http.client.HTTPException, ConfigError) as error:
            raise TryAgain(str(error) or type(error).__name__) from None

    def close(self) -> None:
        """Do nothing: no connection is open between two parts."""


class Authorization:
    """The header of requests that says who we are."""

    def __init__(self, settings: MetricsForward) -> None:
        """Take the names of the files."""
        self._username = settings.username
        self._password_file = settings.password_file
        self._token_file = settings.bearer_token_file

    def header(self) -> dict[str, str]:
        """Return the header; none if nothing is to be said. Raises ConfigError."""
        if self._token_file:
            return {"Authorization": f"Bearer {_secret('bearer_token_file', self._token_file)}"}
        if self._username:
            both = f"{self._username}:{_secret('password_file', self._password_file)}"
            return {"Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}
        return {}


def _secret(option: str, path: str) -> str:
    """Return the first line of a file. Raises ConfigError, which does not show it."""
    try:
        text = plain_file.read(path)[:_MOST_SECRET_BYTES].decode()
    except OSError as error:
        raise ConfigError(f"{option}: {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{option}: {path}: this is not UTF-8") from None
    lines = text.splitlines()
    if not lines or not lines[0].isprintable():
        raise ConfigError(
            f"{option}: {path}: the first line is empty or not printable; it has to be the secret"
        )
    return lines[0]


def tls_of(settings: MetricsForward) -> ssl.SSLContext | None:
    """Return the context of TLS, which verifies the destination; None without TLS.

    Raises:
        ConfigError: a file cannot be read, or is none in PEM.
    """
    if not settings.destination.is_tls:
        return None
    return client_context(settings.ca_file, settings.cert_file, settings.key_file)
