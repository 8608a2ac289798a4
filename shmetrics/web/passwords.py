# SPDX-License-Identifier: Apache-2.0
"""Whether a password is right, at a price that a flood of wrong ones cannot drive up.

bcrypt takes a tenth of a second by design. It runs in a thread, one at a time; what was right once
is remembered as a keyed digest, so that a scraper pays once. An unknown user costs as much as a
known one, so that the time tells no names.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

MAX_REMEMBERED = 256
MAX_UNDER_WAY = 32
MAX_UNDER_WAY_PER_CLIENT = 4  # so that it takes many addresses to keep all others out
_MAX_BCRYPT_BYTES = 72  # bcrypt looks at no more
_SALT_END = 29  # $2b$10$ and 22 characters
_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

# Nobody's password, of the length of a digest.
_DIGEST = "".join(secrets.choice(_ALPHABET) for _ in range(31)).encode()


class Busy(Exception):
    """Too many passwords are being checked."""


def matches(password: bytes, hash_: bytes) -> bool:
    """Whether bcrypt makes this hash of this password."""
    import bcrypt

    return bcrypt.checkpw(password[:_MAX_BCRYPT_BYTES], hash_)


class Passwords:
    """Those that are being checked, and those that were right."""

    def __init__(self, check: Callable[[bytes, bytes], bool] = matches) -> None:
        self._check = check
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[bool]] = {}
        self._clients: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    async def are_right(
        self, users: Mapping[bytes, bytes], user: bytes, password: bytes, client: str
    ) -> bool:
        """Whether users has this user with this password. client: its address. Raises Busy."""
        hash_ = users.get(user) or _nobodys(users)
        proof = self._proof(user, password, hash_)
        if proof in self._right:
            self._right.move_to_end(proof)
            return True
        check = self._under_way.get(proof)
        if check is None:
            full = len(self._under_way) >= MAX_UNDER_WAY
            if full or self._clients[client] >= MAX_UNDER_WAY_PER_CLIENT:
                raise Busy
            check = asyncio.create_task(self._find_out(proof, password, hash_, client))
            self._under_way[proof] = check
            self._clients[client] += 1
        return await asyncio.shield(check)

    async def _find_out(self, proof: bytes, password: bytes, hash_: bytes, client: str) -> bool:
        try:
            async with self._turn:
                right = await asyncio.to_thread(self._check, password, hash_)
        finally:
            del self._under_way[proof]
            self._clients -= Counter((client,))  # and what is at 0 is gone
        if right:
            self._right[proof] = None
            while len(self._right) > MAX_REMEMBERED:
                self._right.popitem(last=False)
        return right

    def _proof(self, *parts: bytes) -> bytes:
        """What stands for these bytes, and says nothing of them to who has not the key."""
        digest = hashlib.blake2b(key=self._key)
        for part in parts:
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.digest()


def _nobodys(users: Mapping[bytes, bytes]) -> bytes:
    """A hash that no password has, and that takes as long as the costliest user's."""
    return max(users.values(), key=lambda hash_: hash_[4:6])[:_SALT_END] + _DIGEST
