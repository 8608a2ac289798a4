# SPDX-License-Identifier: Apache-2.0
"""The fair queue: no client has two turns while another one waits for its first."""

import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.http import fair_queue
from shmetrics.http.fair_queue import FairQueue, Full

CLIENTS = [
    *("192.0.2.1", "192.0.2.2", "10.0.0.1", "::ffff:10.0.0.2", "2001:db8:1::1", "2001:db8:1::2"),
    *("2001:db8:2::1", "fe80::1%eth0", ""),
]


def network_of(client: str) -> str:
    """Return the network of an address, the slow way, by the beginning of its text."""
    for network in ("2001:db8:1:", "2001:db8:2:", "fe80:"):
        if client.startswith(network):
            return network
    return client


@given(st.lists(st.none() | st.sampled_from(CLIENTS), max_size=200))
@settings(deadline=None)
def test_nobody_has_two_turns_while_another_waits(steps: list[str | None]) -> None:
    """Check steps that are a turn, written None, or an item of a client."""
    taken: FairQueue[tuple[str, int]] = FairQueue()
    waiting: dict[tuple[str, int], tuple[set[str], set[str]]] = {}  # who had a turn since it came
    for number, client in enumerate(steps):
        if client is not None:
            wish = client, number
            with contextlib.suppress(Full):
                gives_way = taken.add(wish, client)
                waiting[wish] = set(), set()
                if gives_way is not None:
                    del waiting[gives_way]
        elif waiting:
            served = taken.next()
            del waiting[served]
            network = network_of(served[0])
            for (waits, _), (networks, addresses) in waiting.items():
                if network_of(waits) != network:
                    assert network not in networks
                    networks.add(network)
                elif waits != served[0]:
                    assert served[0] not in addresses
                    addresses.add(served[0])
            for (waits, _), (networks, _) in waiting.items():
                if network_of(waits) == network:
                    networks.clear()  # it has had its network's turn, if not its own
        assert len(taken) == len(waiting) <= fair_queue.MAX_WAITING
        per_client = Counter(waits for waits, _ in waiting)
        assert max(per_client.values(), default=0) <= fair_queue.MAX_WAITING_PER_CLIENT


def test_in_a_full_room_who_had_a_turn_gives_way_to_who_had_none() -> None:
    taken: FairQueue[str] = FairQueue()
    for n in range(fair_queue.MAX_WAITING):
        taken.add(f"10.0.0.{n}", f"10.0.0.{n}")
    with pytest.raises(Full):
        taken.add("new", "192.0.2.1")
    assert taken.next() == "10.0.0.0"
    taken.add("again", "10.0.0.0")
    assert taken.add("new", "192.0.2.1") == "again"
    with pytest.raises(Full):
        taken.add("again", "10.0.0.0")


def test_of_those_who_had_turns_only_the_latest_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_queue, "MAX_REMEMBERED", 3)
    taken: FairQueue[int] = FairQueue()
    for n in range(10):
        taken.add(n, f"10.0.0.{n}")
        taken.next()
    assert list(taken._had) == ["10.0.0.7", "10.0.0.8", "10.0.0.9"]
