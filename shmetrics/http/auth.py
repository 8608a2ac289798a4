# SPDX-License-Identifier: Apache-2.0
"""The check of each request before the application sees it: rate, password; and added headers."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable
from typing import Any

from starlette.responses import PlainTextResponse

from shmetrics.config.web_file import RateLimit
from shmetrics.http import refusals
from shmetrics.http.access_rules import AccessRules
from shmetrics.http.asgi import App, Message
from shmetrics.http.observer import Observer
from shmetrics.http.passwords import Busy, Passwords
from shmetrics.token_buckets import TokenBuckets

_CHALLENGE = {"www-authenticate": 'Basic realm="shmetrics", charset="UTF-8"'}
_LATER = {"retry-after": "1"}


class Auth:
    """An ASGI application in front of another one, which applies the rules in force."""

    def __init__(
        self, app: App, access: AccessRules, passwords: Passwords, observer: Observer
    ) -> None:
        self._app = app
        self._access = access
        self._passwords = passwords
        self._observer = observer
        self._rate = RateLimit()
        self._requests: TokenBuckets[None] | None = None  # no limit

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        file = self._access.rules.file
        added = [(name.lower(), value) for name, value in file.http.headers.items() if value]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _join(message["headers"], added)}
            await send(message)

        refusal = await self._refusal(scope)
        app = self._app if refusal is None else refusal
        await app(scope, receive, send_with_headers if added else send)

    async def _refusal(self, scope: Message) -> PlainTextResponse | None:
        """Return the answer to a request that is refused; None if the application may answer."""
        file = self._access.rules.file
        if self._rate != file.rate:
            self._rate = file.rate
            self._requests = _limited(file.rate)
        if self._requests is not None and not self._requests.take(None, time.monotonic()):
            self._observer.refused(refusals.RATE)
            return PlainTextResponse("429 too many requests\n", 429, _LATER)
        if not file.users:
            return None
        given = _credentials(scope["headers"])
        if given is not None:
            try:
                if await self._are_right(*given, scope["client"][0]):
                    return None
            except Busy:
                self._observer.refused(refusals.PASSWORDS_BUSY)
                return PlainTextResponse("503 too many passwords to check\n", 503, _LATER)
        self._observer.refused(refusals.PASSWORD)
        return PlainTextResponse("401 user and password, please\n", 401, _CHALLENGE)

    async def _are_right(self, user: bytes, password: bytes, client: str) -> bool:
        """Check a user's password by the rules that are in force when the answer is known.

        The check may wait for its turn, and the rules may change meanwhile; then it begins again.

        Raises:
            Busy: Too many passwords are being checked.
        """
        while users := self._access.rules.file.users:
            are_right = await self._passwords.are_right(users, user, password, client)
            if self._access.rules.file.users == users:
                return are_right
        return True  # nobody needs a password any more


def _limited(rate: RateLimit) -> TokenBuckets[None] | None:
    """Return a bucket of so many requests that gains one per interval; None without a limit."""
    interval = rate.interval_seconds
    return TokenBuckets(interval, rate.burst) if interval else None


def _credentials(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """Return user and password of the Authorization header; None unless there is one good one."""
    found = [value for name, value in headers if name.lower() == b"authorization"]
    scheme, _, encoded = (found[0] if len(found) == 1 else b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return (user, password) if colon else None


def _join(
    headers: Iterable[tuple[bytes, bytes]], added: Iterable[tuple[str, str]]
) -> list[tuple[bytes, bytes]]:
    """Append the added headers, but for those that are there with the same value.

    A header of another value stays, so that of two content security policies both hold.
    """
    joined = list(headers)
    for name, value in added:
        pair = (name.encode(), value.encode())
        if pair not in joined:
            joined.append(pair)
    return joined
