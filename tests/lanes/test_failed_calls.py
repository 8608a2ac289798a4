# SPDX-License-Identifier: Apache-2.0
"""The latest calls that failed are kept: which, whose, why, when and in which trace."""

import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics import rpc
from shmetrics.lanes import failed_calls
from shmetrics.lanes.failed_calls import DIED, MOST, FailedCalls
from shmetrics.lanes.lane import OpenCall
from shmetrics.lanes.lane_files import Owner
from tests.nodes.loopback import Loopback, loopback

__all__ = ["loopback"]

TRACE = "0123456789abcdef0123456789abcdef"


def test_a_call_that_failed_among_others(loopback: Loopback) -> None:
    call = rpc.client_call(topic="compute", method="build", server="host-a", timeout="60")
    begun = time.time()
    call.end(call.start({"trace_id": TRACE}), "MessagingTimeout")
    call.end(call.start())
    call.end(call.start(), "DiskFull")
    later, first = loopback.collector.failed_calls()
    assert [later["reason"], first["reason"]] == ["DiskFull", "MessagingTimeout"]
    assert [later["trace"], first["trace"]] == [None, "01234567-89ab-cdef-0123-456789abcdef"]
    assert [first[name] for name in ("side", "topic", "method", "server", "process")] == [
        *("client", "compute", "build", "host-a", "loopback")
    ]
    assert begun - 1 < float(str(first["end"])) < time.time() + 1
    assert 0 <= float(str(first["seconds"])) < 60
    assert loopback.collector.failed_calls() == [later, first]  # they stay


def test_the_latest_are_kept(loopback: Loopback) -> None:
    call = rpc.server_call(topic="t", method="m")
    for n in range(MOST + 100):
        call.end(call.start(), f"E{n % 7}")
    reasons = [str(failed["reason"]) for failed in loopback.collector.failed_calls()]
    assert reasons == [f"E{n % 7}" for n in reversed(range(100, MOST + 100))]


def fake_lane(calls: Any = (), known: Any = None) -> Any:
    return SimpleNamespace(
        lane_id=3,
        owner=Owner("nova", 42, 0, "42"),
        calls=lambda: calls,
        bindings=SimpleNamespace(calls=known or {}, exception_name=lambda id: "E"),
    )


def family() -> Any:
    definition = SimpleNamespace(name="f", label_names=("topic",))
    return SimpleNamespace(definition=definition)


def test_a_call_whose_process_died() -> None:
    found = FailedCalls(lambda id: None, lambda: 10_000_000_000, lambda: 5_000_000_000)
    found.abandon(fake_lane([OpenCall(family(), ("t",), 2_000_000_000, 0, trace="x")]))
    ((*what, seconds, trace, lane_id, owner),) = found
    assert what == ["f", {"topic": "t"}, DIED, 10.0]
    assert (seconds, trace, lane_id, owner.pid) == (3.0, "x", 3, 42)


@given(st.lists(st.sampled_from([1, 1, 1, 1, 1, 1, 2, 2, 3, 4]), min_size=1, max_size=60))
def test_what_fails_all_the_time_makes_room(series: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failed_calls, "MOST", 7)
        lane = fake_lane(known={n: (family(), (str(n),)) for n in series})
        found = FailedCalls(lambda id: lane)
        taken = [(3, n, 2, 0, at, bytes(16)) for at, n in enumerate(series)]
        found.buffer = SimpleNamespace(take=lambda: taken)  # type: ignore[assignment]
        found.take()
    kept = [(int(call.labels["topic"]), round(call.seconds * 1e9)) for call in found]
    assert len(kept) == min(7, len(series))
    assert [at for _, at in kept] == sorted((at for _, at in kept), reverse=True)
    numbers = Counter(n for n, _ in kept)
    for n in set(series):
        mine = [at for at, each in enumerate(series) if each == n]
        assert [at for each, at in kept if each == n] == mine[::-1][: numbers[n]]  # the latest
        assert numbers[n] == len(mine) or numbers[n] >= max(numbers.values()) - 1


def test_times_that_an_emitter_has_made_up_are_bounded() -> None:
    lane = fake_lane(known={1: (family(), ("t",))})
    found = FailedCalls(lambda id: lane, lambda: 10_000_000_000, lambda: 5_000_000_000)
    most = 2**64 - 1
    taken = [(3, 1, 2, stamp, most, bytes(16)) for stamp in (0, most)]
    found.buffer = SimpleNamespace(take=lambda: taken)  # type: ignore[assignment]
    found.take()
    assert [call.end for call in found] == [10.0, 5.0]


def test_a_series_that_nobody_knows_is_left_out() -> None:
    lanes = {3: fake_lane()}
    found = FailedCalls(lanes.get)
    taken = [(lane, 1, 2, 0, 0, bytes(16)) for lane in (3, 4)]
    found.buffer = SimpleNamespace(take=lambda: taken)  # type: ignore[assignment]
    found.take()
    assert not list(found)
