# SPDX-License-Identifier: Apache-2.0
"""The audit itself: what is a unit off is found, whichever way and wherever."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.nodes import hostile
from tests.nodes.samples import Samples
from tests.verify.soak import remains, totals
from tests.verify.soak.account import Account, Wrong
from tests.verify.soak.audit import Audit
from tests.verify.soak.book import (
    COLUMNS,
    ERRORS,
    FATE,
    FIRST,
    LANE,
    SURE,
    VISITS,
    Book,
    Column,
    Fate,
)
from tests.verify.soak.growth import LIMITS, Growth
from tests.verify.soak.work import HOSTS

JOB, SIZE = Column("job", "own"), Column("size", "own")


class Desk:
    """An audit, and the book of one process that is to be audited."""

    def __init__(self, folder: Path) -> None:
        self.graves = folder / "graves"
        self.graves.mkdir()
        self.audit = Audit(self.graves)
        self.book = Book.make(folder / "emitter-1")
        self.account = Account(self.book, "t")
        self.audit.add(self.account)

    def write(self, n: int, done: int | None = None, column: int | None = None) -> None:
        """n events of the column have begun, or of each."""
        for one in range(len(COLUMNS)) if column is None else [column]:
            self.book.cells[FIRST + 2 * one] = n
            self.book.cells[FIRST + 2 * one + 1] = n if done is None else done
        if column in (None, COLUMNS.index(VISITS)):
            self.book.cells[SURE] = n if done is None else done

    def end(self, fate: Fate) -> None:
        self.book.cells[FATE] = fate
        self.audit.gone.add("emitter-1")
        self.audit.settle()

    def shown(self) -> Samples:
        """Return what an honest node shows now."""
        done = self.account.least()
        return Samples({**totals.of_events(done, "t"), **totals.of_the_dead([(done, "t")])})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path)
    yield found
    if found.account.exact is None:
        found.book.close()


def test_what_is_exact_passes(desk: Desk) -> None:
    desk.write(7)
    desk.book.cells[LANE] = 1
    desk.audit.scraped(desk.audit.least(), desk.shown())
    desk.end(Fate.ENDED)
    desk.audit.finish(desk.shown())
    assert desk.audit.events == 63


@pytest.mark.parametrize("by", [-1, 1])
def test_every_total_that_is_one_off_is_found_in_the_end(desk: Desk, by: int) -> None:
    desk.write(7)
    desk.end(Fate.ENDED)
    honest = desk.shown()
    for sample in honest:
        with pytest.raises(Wrong, match=rf"^{sample[0]}{{"):
            desk.audit.finish(Samples(honest | {sample: honest[sample] + by}))


def test_a_total_that_nobody_made_is_found_in_the_end(desk: Desk) -> None:
    desk.write(7)
    desk.end(Fate.ENDED)
    key = "soak_jobs_total", (("topic", "nobody's"),)
    with pytest.raises(Wrong, match="nobody's} is 1, not 0"):
        desk.audit.finish(Samples(desk.shown() | {key: 1}))


@pytest.mark.parametrize("by", [-1, 1])
def test_every_total_out_of_bounds_is_found_at_a_scrape(desk: Desk, by: int) -> None:
    desk.write(7)
    desk.book.cells[LANE] = 1
    for sample in totals.of_events(desk.account.least(), "t"):
        honest = desk.shown()
        with pytest.raises(Wrong, match="not from"):
            desk.audit.scraped(desk.audit.least(), Samples(honest | {sample: honest[sample] + by}))


def test_of_a_process_without_a_lane_nothing_has_to_be_shown(desk: Desk) -> None:
    desk.write(7)
    desk.audit.scraped(desk.audit.least(), Samples())
    desk.end(Fate.ALONE)
    desk.audit.finish(Samples())


def test_a_total_that_goes_back_is_found(desk: Desk) -> None:
    key = "hostile_jobs_total", (("queue", "fast"),)
    desk.audit.scraped(desk.audit.least(), Samples({key: 5}))
    with pytest.raises(Wrong, match="was 5 and is 4"):
        desk.audit.scraped(desk.audit.least(), Samples({key: 4}))
    with pytest.raises(Wrong, match="was 5 and is None"):
        desk.audit.scraped(desk.audit.least(), Samples())


@pytest.mark.parametrize(("n", "is_wrong"), [(0, False), (1, True)])
def test_a_count_goes_with_its_family_only_if_it_is_nothing(
    desk: Desk, n: int, is_wrong: bool
) -> None:
    key = "shmetrics_series_overflow_total", (("family", "soak_living"),)
    desk.audit.scraped(desk.audit.least(), Samples({key: n}))
    with pytest.raises(Wrong, match="was 1 and is None") if is_wrong else contextlib.nullcontext():
        desk.audit.scraped(desk.audit.least(), Samples())


def test_an_emitter_that_erred_is_found(desk: Desk) -> None:
    desk.book.cells[ERRORS] = 1
    with pytest.raises(Wrong, match="1 registration errors"):
        desk.end(Fate.ENDED)


@pytest.mark.parametrize("fate", [Fate.LIVING, Fate.ENDED, Fate.ALONE])
def test_nobody_ends_inside_an_event(desk: Desk, fate: Fate) -> None:
    desk.write(7, done=6, column=0)
    with pytest.raises(Wrong, match="under way"):
        desk.end(fate)


def test_an_account_that_is_not_exact_is_no_end(desk: Desk) -> None:
    with pytest.raises(Wrong, match=r"no exact account of .*emitter-1"):
        desk.audit.finish(Samples())


# ---- the killed: what their lanes say ---------------------------------------------------------


def lane_of(
    desk: Desk,
    published: int,
    jobs: float = 0.0,
    visits: Sequence[float] = (),
    lane_id: int = 1,
    moved_to: int = 0,
) -> None:
    """A lane of the killed process, as far as its counts go, and what was taken of its jobs and of
    its visits, by host."""
    from shmetrics import layout
    from shmetrics.lanes import _drain

    sizes = (64, 4096, 512, 16)
    memory = bytearray(layout.lane_bytes(*sizes))
    _drain.lane_format(memory, lane_id, *sizes, lane_id - 1)
    head = (layout.INDEX_START + published) % 2**64
    memory[256:264] = head.to_bytes(8, "little")
    path = desk.graves / f"emitter-1.{lane_id}"
    path.write_bytes(memory)
    lane = hostile.LaneFile(os.open(path, os.O_RDWR))
    family = lane.family(hostile.JOBS._replace(name="soak_jobs"))
    lane.series(layout.TYPE_COUNTER, family, "t")
    lane.put_double(lane.parts["seen"][0], jobs)
    family = lane.family(hostile.JOBS._replace(name="soak_visits"))
    for host, taken in enumerate(visits):
        lane.series(layout.TYPE_COUNTER, family, HOSTS[host])
        lane.put_double(lane.parts["seen"][0] + 8 * (host + 1), taken)
    lane.put(remains.MOVED_TO_AT, moved_to)
    lane.close()


def test_visits_that_waited_are_lost_with_their_process(desk: Desk) -> None:
    desk.write(5, column=COLUMNS.index(VISITS))
    desk.book.cells[LANE] = 1
    desk.book.cells[SURE] = 3
    lane_of(desk, 3, visits=(1, 1, 1))
    desk.end(Fate.KILLED)
    assert desk.account.lost == {totals.visit(3): 1, totals.visit(4): 1}
    assert (desk.audit.events, desk.audit.lost, desk.audit.waited) == (3, 2, 1)
    desk.audit.finish(Samples({totals.visit(host): 1.0 for host in range(3)}))


def test_visits_count_in_both_lanes_of_a_move(desk: Desk) -> None:
    desk.write(5, column=COLUMNS.index(VISITS))
    desk.book.cells[LANE] = 2
    lane_of(desk, 3, visits=(1, 1, 1), moved_to=2)
    lane_of(desk, 2, visits=(0, 0, 0, 1, 1), lane_id=2)
    desk.end(Fate.KILLED)
    assert (desk.audit.events, desk.audit.moved, desk.audit.waited) == (5, 1, 0)
    desk.audit.finish(Samples({totals.visit(host): 1.0 for host in range(5)}))


def test_a_lane_in_which_the_process_never_was_does_not_count(desk: Desk) -> None:
    desk.write(3, column=COLUMNS.index(VISITS))
    desk.book.cells[LANE] = 1
    lane_of(desk, 3, visits=(1, 1, 1))
    lane_of(desk, 2, visits=(0, 0, 0, 1, 1), lane_id=2)
    desk.end(Fate.KILLED)
    assert desk.audit.events == 3


def test_a_visit_that_is_lost_after_the_move_is_found(desk: Desk) -> None:
    desk.write(5, column=COLUMNS.index(VISITS))
    desk.book.cells[LANE] = 2
    lane_of(desk, 3, visits=(1, 1, 1), moved_to=2)
    lane_of(desk, 1, visits=(0, 0, 0, 1), lane_id=2)
    with pytest.raises(Wrong, match="0 was taken of 1 visits of 4"):
        desk.end(Fate.KILLED)


@pytest.mark.parametrize(("published", "counted"), [(7, 7), (8, 8)])
def test_the_lane_says_whether_the_last_event_counts(
    desk: Desk, published: int, counted: int
) -> None:
    desk.write(8, done=7, column=COLUMNS.index(SIZE))
    lane_of(desk, published)
    desk.end(Fate.KILLED)
    assert desk.account.exact is not None
    assert desk.account.exact[SIZE] == counted


@pytest.mark.parametrize("published", [7, 8])
@pytest.mark.parametrize("counted", [7, 8])
def test_of_an_add_the_total_says_whether_it_counts(
    desk: Desk, published: int, counted: int
) -> None:
    desk.write(8, done=7, column=COLUMNS.index(JOB))
    lane_of(desk, published, totals.jobs(counted))
    desk.end(Fate.KILLED)
    assert desk.account.exact is not None
    assert desk.account.exact[JOB] == counted


def test_a_total_that_no_number_of_adds_makes_is_found(desk: Desk) -> None:
    desk.write(8, done=7, column=COLUMNS.index(JOB))
    lane_of(desk, 8, totals.jobs(8) + 1)
    with pytest.raises(Wrong, match=f"{totals.jobs(8) + 1}.0 was taken of its .*'job'"):
        desk.end(Fate.KILLED)


@pytest.mark.parametrize("published", [0, 6, 9])
def test_a_lane_that_holds_another_number_is_found(desk: Desk, published: int) -> None:
    desk.write(8, done=7, column=COLUMNS.index(SIZE))
    desk.book.cells[LANE] = 1
    lane_of(desk, published)
    with pytest.raises(Wrong, match=f"holds {published} events; 8 had begun, 7 were done"):
        desk.end(Fate.KILLED)


def test_a_lane_that_the_collector_is_not_done_with_can_wait(desk: Desk, tmp_path: Path) -> None:
    lane_of(desk, 0)
    (tmp_path / "1.lane").hardlink_to(desk.graves / "emitter-1.1")
    desk.end(Fate.KILLED)
    assert desk.account.exact is None
    (tmp_path / "1.lane").unlink()
    desk.audit.settle()
    assert desk.account.exact is not None


# ---- growth -----------------------------------------------------------------------------------


def test_what_grows_is_seen_to_grow() -> None:
    for steady in (True, False):
        growth = Growth()
        for second in range(100):
            for limit in LIMITS:
                growth.note(limit.what, second, 1000 if steady else 1000 + second * limit.most)
        for figure in growth.figures(20):
            assert figure.grown == (0 if steady else pytest.approx(60 * figure.most, rel=0.3))


def test_no_figure_at_all_is_wrong() -> None:
    with pytest.raises(Wrong, match="no figure"):
        Growth().figures(0)
