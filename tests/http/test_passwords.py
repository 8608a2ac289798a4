# SPDX-License-Identifier: Apache-2.0
"""A right password is checked once; wrong ones do not delay other clients."""

import asyncio
import contextlib
import threading
import time

import bcrypt
import pytest

from shmetrics.http import fair_queue, passwords
from shmetrics.http.passwords import Busy, Passwords, matches

ALICE = bcrypt.hashpw(b"right", bcrypt.gensalt(4))
BOB = bcrypt.hashpw(b"bobs", bcrypt.gensalt(5))
USERS = {b"alice": ALICE, b"bob": BOB}
HERE = "127.0.0.1"


class Checks:
    """A stand-in for bcrypt, which keeps its questions, and waits at a gate."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, password: bytes, hash_: bytes) -> bool:
        self.asked.append((password, hash_))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.gate.wait(10)
        self.at_once -= 1
        return matches(password, hash_)


@pytest.mark.parametrize(
    ("user", "password", "right"),
    [
        (b"alice", b"right", True),
        (b"bob", b"bobs", True),
        (b"alice", b"Right", False),
        (b"alice", b"bobs", False),
        (b"alice", b"", False),
        (b"alice", b"right\0", False),
        (b"alice", b"x" * 100_000, False),
        (b"Alice", b"right", False),
        (b"", b"", False),
        (b"carol", b"right", False),
    ],
)
def test_only_the_right_password_of_the_user_is_right(
    user: bytes, password: bytes, right: bool
) -> None:
    found = Passwords()
    for _ in range(2):  # the second time it may be remembered
        assert asyncio.run(found.are_right(USERS, user, password, HERE)) is right


def test_a_long_password_counts_as_far_as_bcrypt_looks() -> None:
    users = {b"alice": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))}
    assert asyncio.run(Passwords().are_right(users, b"alice", b"x" * 80, HERE))


@pytest.mark.parametrize("prefix", [b"$2a", b"$2y"])
def test_hashes_of_other_programs(prefix: bytes) -> None:
    users = {b"alice": prefix + ALICE[3:]}
    assert asyncio.run(Passwords().are_right(users, b"alice", b"right", HERE))


def test_a_right_password_is_checked_once_and_a_wrong_one_each_time() -> None:
    checks = Checks()
    found = Passwords(checks)

    async def run() -> None:
        for _ in range(5):
            assert await found.are_right(USERS, b"alice", b"right", HERE)
            assert not await found.are_right(USERS, b"alice", b"wrong", HERE)

    asyncio.run(run())
    assert [password for password, _ in checks.asked].count(b"right") == 1
    assert [password for password, _ in checks.asked].count(b"wrong") == 5


def test_what_is_remembered_is_of_this_hash_only() -> None:
    async def run() -> None:
        found = Passwords()
        assert await found.are_right(USERS, b"alice", b"right", HERE)
        changed = {b"alice": BOB}
        assert not await found.are_right(changed, b"alice", b"right", HERE)
        assert not await found.are_right({b"bob": BOB}, b"alice", b"right", HERE)

    asyncio.run(run())


def test_no_password_is_kept() -> None:
    found = Passwords()
    users = {b"alice": bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4))}
    assert asyncio.run(found.are_right(users, b"alice", b"hunter2", HERE))
    kept = repr(vars(found)).encode()
    assert b"hunter2" not in kept
    assert users[b"alice"] not in kept


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_REMEMBERED", 3)
    users = {b"%d" % n: ALICE for n in range(10)}
    found = Passwords()

    async def run() -> None:
        for user in users:
            assert await found.are_right(users, user, b"right", HERE)

    asyncio.run(run())
    assert len(found._right) == 3


def test_an_unknown_user_costs_as_much_as_the_costliest_known_one() -> None:
    checks = Checks()
    asyncio.run(Passwords(checks).are_right(USERS, b"carol", b"x", HERE))
    ((_, hash_),) = checks.asked
    assert hash_[:29] == BOB[:29]  # its cost, and a salt that bcrypt takes
    assert len(hash_) == len(BOB)
    assert hash_ not in USERS.values()


def test_one_is_checked_at_a_time_and_the_loop_goes_on() -> None:
    checks = Checks()
    checks.gate.clear()

    async def run() -> None:
        found = Passwords(checks)
        asked = [
            asyncio.create_task(found.are_right(USERS, b"alice", b"%d" % n, f"10.0.0.{n}"))
            for n in range(8)
        ]
        for _ in range(1000):  # a loop that was held up would not come here
            await asyncio.sleep(0)
        while not checks.asked:
            await asyncio.sleep(0.001)
        assert not any(task.done() for task in asked)
        checks.gate.set()
        assert not any(await asyncio.gather(*asked))

    asyncio.run(run())
    assert checks.most_at_once == 1
    assert len(checks.asked) == 8


def test_the_same_password_is_checked_once_for_all_who_bring_it() -> None:
    checks = Checks()

    async def run() -> None:
        found = Passwords(checks)
        asked = [found.are_right(USERS, b"alice", b"right", HERE) for _ in range(200)]
        assert all(await asyncio.gather(*asked))

    asyncio.run(run())
    assert len(checks.asked) == 1


def test_a_flood_from_one_client_leaves_room_for_another() -> None:
    """Check that its passwords are refused unchecked; a client elsewhere waits for a few at
    most."""
    checks = Checks()

    async def run() -> None:
        found = Passwords(checks)
        flood = [
            asyncio.create_task(found.are_right(USERS, b"alice", b"%d" % n, "10.6.6.6"))
            for n in range(1000)
        ]
        await asyncio.sleep(0)
        assert await found.are_right(USERS, b"bob", b"bobs", HERE)
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        busy = sum(isinstance(outcome, Busy) for outcome in outcomes)
        assert busy == 1000 - fair_queue.MAX_WAITING_PER_CLIENT
        assert not any(outcome is True for outcome in outcomes)
        assert await found.are_right(USERS, b"alice", b"right", "10.6.6.6")  # and it has room again

    asyncio.run(run())


def test_a_flood_from_everywhere_is_bounded_and_a_known_password_passes() -> None:
    checks = Checks()

    async def run() -> None:
        found = Passwords(checks)
        assert await found.are_right(USERS, b"alice", b"right", HERE)
        checks.gate.clear()
        flood = [
            asyncio.create_task(found.are_right(USERS, b"alice", b"%d" % n, f"10.0.{n}.1"))
            for n in range(500)
        ]
        await asyncio.sleep(0)
        begun = time.monotonic()
        assert await found.are_right(USERS, b"alice", b"right", HERE)
        assert time.monotonic() - begun < 30  # and not after the flood, which waits at the gate
        checks.gate.set()
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(outcome is False for outcome in outcomes) == fair_queue.MAX_WAITING

    asyncio.run(run())


async def kept_out(user: bytes, addresses: list[str], tries: int = 1) -> int:
    """Let clients at these addresses guess as fast as they are answered; return how many of their
    guesses are checked before a scraper comes in that had never come before."""
    asked: list[bytes] = []

    def check(password: bytes, hash_: bytes) -> bool:
        asked.append(password)
        return password == b"right"

    found = Passwords(check)

    async def guess(address: str, number: int) -> None:
        guessed = 0
        while True:
            guessed += 1
            password = b"%b-%d-%d" % (address.encode(), number, guessed)
            with contextlib.suppress(Busy):
                await found.are_right(USERS, user, password, address)
            await asyncio.sleep(0)

    guessing = [asyncio.create_task(guess(one, n)) for one in addresses for n in range(tries)]
    for _ in range(20):  # the flood was there first
        await asyncio.sleep(0)
    before = len(asked)
    while True:
        try:
            assert await found.are_right(USERS, b"bob", b"right", "192.0.2.1")
            break
        except Busy:
            await asyncio.sleep(0)
    for task in guessing:
        task.cancel()
    await asyncio.gather(*guessing, return_exceptions=True)
    return asked.index(b"right") - before


@pytest.mark.parametrize("user", [b"bob", b"carol"], ids=["known", "unknown"])
@pytest.mark.parametrize("tries", [1, 5])
@pytest.mark.parametrize("addresses", [1, 40])
def test_a_flood_from_everywhere_keeps_a_new_scraper_out_for_one_turn_of_each(
    user: bytes, tries: int, addresses: int
) -> None:
    """After a restart the scraper's password is not known yet, and the guessers have its name."""
    flood = [f"10.0.{n // 200}.{n % 200}" for n in range(addresses)]
    assert asyncio.run(kept_out(user, flood, tries)) <= addresses + 1  # one may be under way


def test_a_flood_from_one_network_is_one() -> None:
    """Check a flood from many addresses of IPv6."""
    flood = [f"2001:db8::{n:x}" for n in range(100)]
    assert asyncio.run(kept_out(b"bob", flood)) <= 2


def test_whether_there_is_a_user_does_not_say_when_it_is_checked() -> None:
    """Check that of two floods that differ in user names only, the same requests are checked,
    in order."""

    async def order(names: list[bytes]) -> list[object]:
        checks: list[bytes] = []

        def check(password: bytes, hash_: bytes) -> bool:
            checks.append(password)
            return False

        found = Passwords(check)
        asked = [
            asyncio.create_task(found.are_right(USERS, name, b"%d" % n, f"10.0.0.{n % 23}"))
            for n, name in enumerate(names)
        ]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        return [*checks, *map(repr, outcomes)]

    known = asyncio.run(order([b"alice", b"bob"] * 60))
    assert known == asyncio.run(order([b"carol", b"dave"] * 60))
    assert known == asyncio.run(order([b"alice", b"dave"] * 60))


def test_a_check_that_fails_is_told_and_the_next_one_is_made() -> None:
    def check(password: bytes, hash_: bytes) -> bool:
        if password == b"1":
            raise ValueError("no memory")
        return password == b"right"

    async def run() -> None:
        found = Passwords(check)
        first = asyncio.create_task(found.are_right(USERS, b"alice", b"1", HERE))
        second = asyncio.create_task(found.are_right(USERS, b"alice", b"right", HERE))
        with pytest.raises(ValueError, match="no memory"):
            await first
        assert await second
        with pytest.raises(ValueError, match="no memory"):
            await found.are_right(USERS, b"alice", b"1", HERE)

    asyncio.run(run())
