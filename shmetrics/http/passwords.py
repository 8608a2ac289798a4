# SPDX-License-Identifier: Apache-2.0
"""The check of passwords, at a cost that a flood of wrong ones cannot raise.

bcrypt takes a tenth of a second by design. It runs in a thread, one check at a time. A password
that was right is remembered as a keyed digest, so that a scraper pays once. Other checks wait in a
fair queue, by address. They do not queue by user name: who guesses passwords knows the scraper's
name. An unknown user waits and costs as much as a known one, so the time does not tell names.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shmetrics.http.fair_queue import FairQueue, Full

MAX_REMEMBERED = 256
_MAX_BCRYPT_BYTES = 72  # bcrypt ignores what follows
_SALT_END = 29  # $2b$10$ and 22 characters
_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

# In place of a hash's digest: no password has this one.
_DIGEST = "".join(secrets.choice(_ALPHABET) for _ in range(31)).encode()


class Busy(Exception):
    """An error: too many passwords are being checked."""


def matches(password: bytes, hash_: bytes) -> bool:
    """Return whether bcrypt makes this hash of this password."""
    import bcrypt

    return bcrypt.checkpw(password[:_MAX_BCRYPT_BYTES], hash_)


@dataclass(eq=False)
class _Check:
    """One check, shared by all requests with the same user and password."""

    proof: bytes
    password: bytes
    hash: bytes
    found: asyncio.Future[bool]


class Passwords:
    """The check of passwords, with a memory of those that were right."""

    def __init__(self, check: Callable[[bytes, bytes], bool] = matches) -> None:
        self._check = check
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._checks: dict[bytes, _Check] = {}
        self._queue: FairQueue[_Check] = FairQueue()
        self._working: asyncio.Task[None] | None = None

    async def are_right(
        self, users: Mapping[bytes, bytes], user: bytes, password: bytes, client: str
    ) -> bool:
        """Return whether this user has this password.

        Args:
            users: Hashes of bcrypt, by user.
            user: the user, as the request gives it.
            password: the password, as the request gives it.
            client: The address that the request came from.

        Raises:
            Busy: Too many checks wait already.
        """
        hash_ = users.get(user) or _unmatchable(users)
        proof = self._proof(user, password, hash_)
        if proof in self._right:
            self._right.move_to_end(proof)
            return True
        check = self._checks.get(proof) or self._begin(proof, password, hash_, client)
        return await asyncio.shield(check.found)

    def _begin(self, proof: bytes, password: bytes, hash_: bytes, client: str) -> _Check:
        check = _Check(proof, password, hash_, asyncio.get_running_loop().create_future())
        try:
            gives_way = self._queue.add(check, client)
        except Full:
            raise Busy from None
        self._checks[proof] = check
        if gives_way is not None:
            self._conclude(gives_way, Busy())
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return check

    async def _work(self) -> None:
        """Do one check after the other, until none is left."""
        try:
            while self._queue:
                check = self._queue.next()
                try:
                    found = await asyncio.to_thread(self._check, check.password, check.hash)
                except Exception as error:
                    self._conclude(check, error)
                else:
                    self._conclude(check, found)
        finally:
            self._working = None

    def _conclude(self, check: _Check, found: bool | Exception) -> None:
        del self._checks[check.proof]
        if isinstance(found, Exception):
            check.found.set_exception(found)
            check.found.exception()  # marks it as seen: all who asked may have left
            return
        check.found.set_result(found)
        if found:
            self._right[check.proof] = None
            while len(self._right) > MAX_REMEMBERED:
                self._right.popitem(last=False)

    def _proof(self, *parts: bytes) -> bytes:
        """Make a keyed digest, which without the key says nothing of these bytes."""
        digest = hashlib.blake2b(key=self._key)
        for part in parts:
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.digest()


def _unmatchable(users: Mapping[bytes, bytes]) -> bytes:
    """Make a hash that no password has, as costly to check as the costliest user's."""
    return max(users.values(), key=lambda hash_: hash_[4:6])[:_SALT_END] + _DIGEST
