# SPDX-License-Identifier: Apache-2.0
"""The thread that passes on: batches, second tries, what is given up, and its end."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.destinations.traces.spans import SPANS
from shmetrics.forwarding import forwarder as module
from shmetrics.forwarding.forwarder import Forwarder, Limits
from shmetrics.forwarding.report import Report
from shmetrics.forwarding.sender import Outcome, Refused, TryAgain
from shmetrics.traces.reader import Row, StoredSpan
from shmetrics.traces.store import SPAN_BYTES
from tests.destinations.traces.conftest import SECONDS, row
from tests.forwarding.script import Part, Script
from tests.servers.processes import until

AT_ONCE: dict[str, Any] = {"batch_seconds": 0.0, "pause_seconds": 0.001}


def ended(forwarder: Forwarder[Row, StoredSpan], seconds: float = SECONDS) -> None:
    forwarder.stop(time.monotonic() + seconds)
    forwarder.join()


def soon(forwarder: Forwarder[Row, StoredSpan], n: int) -> None:
    """Wait until so many spans have been sent or lost."""
    until(
        lambda: forwarder.sent + forwarder.lost.total() == n,
        lambda: f"{forwarder.sent} sent, {forwarder.lost}",
        SECONDS,
    )


def test_all_arrive_in_their_order() -> None:
    sender = Script()
    forwarder = Forwarder("to", sender, SPANS, Limits(**AT_ONCE))
    for number in range(1, 101):
        forwarder.put([row(number)])
    soon(forwarder, 100)
    ended(forwarder)
    assert [span.id[-1] for span in sender.taken] == list(range(1, 101))
    assert (forwarder.sent, forwarder.lost, sender.is_closed) == (100, {}, True)


def test_spans_go_together() -> None:
    """Check that batches have at most so many spans, and that a short one waits."""
    sender = Script()
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=10, batch_seconds=SECONDS))
    forwarder.put(row(number) for number in range(25))
    soon(forwarder, 20)
    ended(forwarder)
    assert sender.sizes == [10, 10, 5]


def test_a_span_waits_no_longer_than_it_is_said() -> None:
    sender = Script()
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=10, batch_seconds=0.05))
    forwarder.put([row()])
    soon(forwarder, 1)
    ended(forwarder)


def test_large_spans_make_small_batches() -> None:
    sender = Script()
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_seconds=SECONDS))
    forwarder.put(row(n, start_info={"x": "x" * (module.BATCH_BYTES // 3)}) for n in range(5))
    ended(forwarder)
    assert sender.sizes == [2, 2, 1]


def test_what_is_temporary_is_tried_again() -> None:
    sender = Script(deque([TryAgain("down"), Part(2), TryAgain("down")]))
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=5, **AT_ONCE))
    forwarder.put(row(number) for number in range(5))
    soon(forwarder, 5)
    ended(forwarder)
    assert [span.id[-1] for span in sender.taken] == [0, 1, 2, 3, 4]
    assert (sender.sizes, forwarder.retries, forwarder.lost) == ([5, 5, 3, 3], 3, {})


def test_pauses_grow_and_the_receiver_s_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    def waited(self: Forwarder[Row, StoredSpan], seconds: float) -> bool:
        pauses.append(seconds)
        return True

    monkeypatch.setattr(Forwarder, "_wait", waited)
    down = [TryAgain("down")] * 4 + [TryAgain("full", after_seconds=50)]
    sender = Script(deque([*down, TryAgain("full", after_seconds=5000)]))
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_seconds=0.0, pause_seconds=1.0))
    forwarder.put([row()])
    soon(forwarder, 1)
    ended(forwarder)
    for pause, most in zip(pauses, (1, 2, 4, 8), strict=False):
        assert most / 2 <= pause <= most
    assert pauses[4:] == [50, module.LONGEST_PAUSE_SECONDS]


def test_what_is_too_old_is_given_up_and_the_next_goes() -> None:
    sender = Script(deque([Part(1)]))
    limits = Limits(batch_items=3, batch_seconds=0.0, give_up_seconds=0.0)
    forwarder = Forwarder("to", sender, SPANS, limits)
    forwarder.put(row(number) for number in range(3))
    soon(forwarder, 3)
    forwarder.put([row(9)])
    soon(forwarder, 4)
    ended(forwarder)
    assert (forwarder.sent, forwarder.lost) == (2, {"gave_up": 2})


@pytest.mark.parametrize(
    ("done", "sent", "lost"),
    [
        (Refused("400"), 0, {"refused": 3}),
        (Outcome(refused=2), 1, {"refused": 2}),
        (Outcome(refused=-1), 3, {}),
        (Outcome(refused=7), 0, {"refused": 3}),
        (Outcome(failed=1, why="odd"), 2, {"failed": 1}),
        (Outcome(refused=7, failed=1), 0, {"failed": 1, "refused": 2}),
        (KeyError("a driver's own mistake"), 0, {"failed": 3}),
    ],
)
def test_what_is_refused_is_counted_and_not_tried_again(
    done: Exception | Outcome, sent: int, lost: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    sender = Script(deque([done]))
    with caplog.at_level(logging.WARNING):
        forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=3, **AT_ONCE))
        forwarder.put(row(number) for number in range(3))
        soon(forwarder, 3)
        forwarder.put([row(9)])
        soon(forwarder, 4)
        ended(forwarder)
    assert (forwarder.sent, dict(forwarder.lost)) == (sent + 1, lost)
    assert len(caplog.messages) == (1 if lost else 0)  # one a minute
    assert all(line.startswith("to: ") for line in caplog.messages)


class Stuck(Script):
    """A sender that hangs in the middle of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        self.begun.set()
        assert self.go.wait(SECONDS)
        return super().send(spans)


def test_whoever_brings_spans_never_waits_and_what_has_no_room_is_counted() -> None:
    sender = Stuck()
    forwarder = Forwarder("to", sender, SPANS, Limits(**AT_ONCE, waiting_bytes=10 * SPAN_BYTES))
    forwarder.put([row()])
    assert sender.begun.wait(SECONDS)
    forwarder.put(row(number) for number in range(15))
    assert forwarder.lost == {"queue": 6}  # what is being sent takes memory, too
    assert forwarder.counts().waiting_bytes == 10 * SPAN_BYTES
    sender.go.set()
    soon(forwarder, 16)
    ended(forwarder)
    assert (forwarder.sent, forwarder.lost) == (10, {"queue": 6})


def test_what_is_in_hands_takes_no_more_than_is_left_of_it() -> None:
    """Check that spans that have arrived leave room while another is tried again and again."""
    seen: list[tuple[int, int]] = []

    class Looking(Script):
        def send(self, spans: Sequence[StoredSpan]) -> Outcome:
            counts = forwarder.counts()
            seen.append((counts.waiting, counts.waiting_bytes))
            return super().send(spans)

    sender = Looking(deque([Part(4)] * 8))
    limits = Limits(batch_items=5, **AT_ONCE)
    forwarder = Forwarder("to", sender, SPANS, limits)
    forwarder.put(row(number) for number in range(40))
    soon(forwarder, 40)
    ended(forwarder)
    assert [waiting for waiting, _ in seen] == [*range(40, 7, -4), 3]
    assert all(n_bytes == waiting * SPAN_BYTES for waiting, n_bytes in seen)


def test_a_report_has_the_problem_while_there_is_one() -> None:
    """Check that it begins with the first attempt that fails, and ends with one that does not."""
    seen: list[Report] = []

    class Looking(Script):
        def send(self, spans: Sequence[StoredSpan]) -> Outcome:
            seen.append(forwarder.report())
            return super().send(spans)

    does: list[Exception | Outcome | Part] = [
        TryAgain("down"),
        TryAgain("down\nstill"),
        Part(1),
        Outcome(),
        Refused("no"),
    ]
    forwarder = Forwarder("to", Looking(deque(does)), SPANS, Limits(batch_items=2, **AT_ONCE))
    forwarder.put(row(number) for number in range(4))
    soon(forwarder, 4)
    assert [each.problem for each in seen] == ["", "down", "down still", "down", ""]
    assert [each.failing_seconds is None for each in seen] == [not each.problem for each in seen]
    first, second = (each.failing_seconds or 0.0 for each in seen[1:3])
    assert second > first > 0
    last = forwarder.report()
    assert (last.problem, last.kind, last.dropped) == ("refused: no", "spans", {"refused": 1})
    assert last.produced == 4
    ended(forwarder)


def test_a_stop_ends_in_time_whatever_hangs() -> None:
    """Check that items that hang count as lost, once, even if they arrive after all."""
    sender = Stuck()
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=2, **AT_ONCE))
    forwarder.put(row(number) for number in range(5))
    assert sender.begun.wait(SECONDS)
    ended(forwarder, 0.05)
    forwarder.put([row()])
    assert (forwarder.sent, forwarder.lost) == (0, {"stopped": 6})
    sender.go.set()
    until(lambda: sender.is_closed, lambda: "not closed", SECONDS)
    assert (forwarder.sent, forwarder.lost) == (0, {"stopped": 6})


def test_a_stop_does_not_wait_out_a_long_pause() -> None:
    sender = Script(deque([TryAgain("full", after_seconds=50)]))
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=2, batch_seconds=0.0))
    forwarder.put(row(number) for number in range(3))
    until(lambda: forwarder.retries, lambda: "no retry", SECONDS)
    forwarder.stop(time.monotonic() + 1)
    forwarder.join()
    # Those in hand are lost at once; those behind them are tried.
    assert (forwarder.sent, forwarder.lost) == (1, {"stopped": 2})


outcomes = st.lists(
    st.integers(-1, 3).map(Outcome)
    | st.builds(Part, st.integers(0, 2), st.integers(0, 2), st.booleans())
    | st.just(TryAgain("down"))
    | st.just(Refused("no")),
    max_size=12,
)


@settings(max_examples=50, deadline=None)
@given(outcomes, st.lists(st.integers(0, 4), max_size=6), st.integers(1, 3))
def test_each_span_is_sent_or_lost_once(
    outcomes: list[Exception | Outcome | Part], puts: list[int], batch_spans: int
) -> None:
    sender = Script(deque(outcomes))
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=batch_spans, **AT_ONCE))
    for n in puts:
        forwarder.put(row(number) for number in range(n))
    ended(forwarder)
    assert forwarder.sent + forwarder.lost.total() == sum(puts)


def test_what_has_come_meanwhile_goes_along_where_each_is_said_alone() -> None:
    """Check that one that does not arrive is known by others that do."""
    sender = Script(deque([Part(1), Part(0)]))
    limits = Limits(batch_items=3, batch_seconds=0.0, pause_seconds=0.3)
    forwarder = Forwarder("to", sender, SPANS, limits)
    forwarder.put([row(1), row(2)])
    until(lambda: forwarder.sent, lambda: "nothing", SECONDS)
    forwarder.put(row(number) for number in range(3, 9))
    soon(forwarder, 8)
    ended(forwarder)
    assert sender.sizes[0] == 2
    assert sum(size == 3 for size in sender.sizes) >= 2
    assert [span.id[-1] for span in sender.taken] == list(range(1, 9))


def test_each_has_its_own_time_until_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def waited(self: Forwarder[Row, StoredSpan], seconds: float) -> bool:
        if not now[0]:
            self.put([row(2)])
        now[0] += seconds
        return True

    monkeypatch.setattr(Forwarder, "_wait", waited)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(random, "uniform", lambda least, most: most)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 1.0)
    sender = Script(deque([Part(0)] * 1000))
    limits = Limits(batch_seconds=0.0, pause_seconds=1.0, give_up_seconds=10.0)
    forwarder = Forwarder("to", sender, SPANS, limits)
    forwarder.put([row(1)])
    soon(forwarder, 2)
    ended(forwarder)
    assert forwarder.lost == {"gave_up": 2}
    assert sender.sizes == [1] + [2] * 10 + [1]


def test_where_there_was_no_time_for_all_the_rest_goes_next() -> None:
    sender = Script(deque([Part(2, 1, no_time=True)]))
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_items=5, **AT_ONCE))
    forwarder.put(row(number) for number in range(1, 6))
    soon(forwarder, 5)
    ended(forwarder)
    assert [span.id[-1] for span in sender.taken] == [1, 2, 4, 5]
    assert (sender.sizes, forwarder.retries, forwarder.lost) == ([5, 2], 0, {"failed": 1})


def test_who_is_stopped_twice_is_waited_for_once() -> None:
    sender = Stuck()
    forwarder = Forwarder("to", sender, SPANS, Limits(**AT_ONCE))
    forwarder.put([row()])
    assert sender.begun.wait(SECONDS)
    ended(forwarder, 0.05)
    ended(forwarder, 2 * SECONDS)
    assert forwarder._thread.is_alive()
    assert forwarder.lost == {"stopped": 1}
    sender.go.set()
    until(lambda: sender.is_closed, lambda: "not closed", SECONDS)


def test_bytes_that_wait_are_bytes() -> None:
    """Check bytes, not characters: a receiver of gRPC has a limit of bytes."""
    sender = Script()
    forwarder = Forwarder("to", sender, SPANS, Limits(batch_seconds=SECONDS))
    forwarder.put(row(n, start_info={"x": "\u20ac" * (module.BATCH_BYTES // 9)}) for n in range(5))
    ended(forwarder)
    assert sender.sizes == [2, 2, 1]
