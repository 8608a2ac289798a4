# SPDX-License-Identifier: Apache-2.0
"""A short run of every fuzzing target, and proof that what it should find is found."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers.once import once
from tests.verify.fuzz import targets

RUNS = {
    "drain": 150_000,
    "moves": 50_000,
    "entries": 150_000,
    "numbers": 200_000,
    "accept": 20_000,
    "options": 5_000,
}
SEED = "-seed=3"

pytestmark = [
    pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed"),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="atheris has no wheel for this Python"),
]


@pytest.fixture
def build(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which a target of the core as it is has been built."""
    return once(tmp_path_factory, f"fuzz-{name}", lambda folder: targets.command_of(name, folder))


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_short_run_finds_nothing(name: str, build: Path, tmp_path: Path) -> None:
    command = targets.built_in(name, build)
    corpora = [tmp_path / "new", *targets.inputs_of(name)]
    corpora[0].mkdir()
    runs = f"-runs={RUNS.get(name, 50_000)}"
    done = targets.run(command, name, corpora, tmp_path / "found", runs, SEED)
    assert done.passed, done.text[-3000:]
    assert done.executions > 1000


class Mutation(NamedTuple):
    """A fault put into the core: in this file, this text becomes that."""

    file: str
    old: str
    new: str


CONTROLS = {
    "the head is believed": Mutation(
        "drain/drain.c", "if (waiting > drain->lane.records)", "if (waiting > UINT64_MAX - 1)"
    ),
    "the series of a record is read twice": Mutation(
        "drain/drain.c",
        "&drain->targets[record.series];",
        "&drain->targets[drain->ring.slots[drain->ring.tail & (drain->ring.records - 1)].series];",
    ),
    "the exception of a record is believed": Mutation(
        "drain/drain.c",
        "if (record->exception >= drain->n_targets)",
        "if (record->exception > 1u << 20)",
    ),
    "a span says how many slots are published": Mutation(
        "drain/drain.c", " ||\n        span.n_info >= waiting)", ")"
    ),
    "what is said of a span is read twice": Mutation(
        "drain/drain.c",
        "memcpy(to + info_bytes, info.bytes, info.size_bytes);",
        "memcpy(to + info_bytes, info.bytes, ((const struct shm_span_info *)(const void *)"
        "&drain->ring.slots[(drain->ring.tail + i) & (drain->ring.records - 1)])->size_bytes);",
    ),
    "there is always room for a span": Mutation(
        "drain/spans.h",
        "if (spans->size_bytes - spans->used_bytes < most_bytes)",
        "if (most_bytes == 0)",
    ),
    "the size of an entry is read twice": Mutation(
        "drain/entries.c",
        "memcpy(buffer, &header, sizeof header);",
        "memcpy(&header, at, sizeof header);",
    ),
    "the list of open calls is as long as it says": Mutation(
        "drain/state.c", "high = drain->lane.n_calls;", "high = high < 999 ? high : 999;"
    ),
    "a part may end outside the file": Mutation("lane/lane.h", "|| at > size_bytes ||", "||"),
    "cells of the lane are handed out without end": Mutation(
        "lane/spill.h", "*used > n_cells - n", "*used > n_cells + 999"
    ),
    "the tail moves before the cells change": Mutation(
        "drain/drain.c",
        "shm_undo_record(drain->undo, drain->cells, &plan, drain->ring.tail);\n"
        "        shm_ring_release(&drain->ring);",
        "shm_ring_release(&drain->ring);\n"
        "        shm_undo_record(drain->undo, drain->cells, &plan, drain->ring.tail);",
    ),
    "what is seen is noted before it is taken": Mutation(
        "drain/totals.c",
        "    if (into) {\n        struct shm_plan plan",
        "    atomic_store_explicit(seen_cell, now, memory_order_relaxed);\n"
        "    if (into) {\n        struct shm_plan plan",
    ),
    "an infinite sum is nothing that an honest emitter has": Mutation(
        "drain/totals.c", "!isnan(shm_value(now));", "isfinite(shm_value(now));"
    ),
    "nothing is undone": Mutation(
        "drain/recovery.c", "counts = undo->index == drain->ring.tail;", "counts = false;"
    ),
    "an undo entry counts for any lane": Mutation(
        "drain/recovery.c",
        "undo->kind == SHM_UNDO_NONE || undo->lane_id != drain->lane.lane_id",
        "undo->kind == SHM_UNDO_NONE",
    ),
    "the undo entry begins with a neighbour's changes": Mutation(
        "drain/undo.h", "undo->n = 0;", ""
    ),
    "an event that was begun is not finished": Mutation(
        "drain/recovery.c",
        "if (intent->spilled != spilled)",
        "if (intent->spilled != spilled || true)",
    ),
    "a file that was cut short is read without a guard": Mutation(
        "drain/contained.c",
        "    CONTAIN_LANE(guard, drain, SHM_BROKEN_CUT_SHORT)\n"
        "    enum shm_drained found = shm_drain_pass(drain);\n"
        "    shm_guard_leave(&guard);",
        "    enum shm_drained found = shm_drain_pass(drain);",
    ),
    "a pass that had to be left is not undone": Mutation(
        "drain/contained.c", "shm_recover_pass(drain);", ""
    ),
}

# The same for the target that moves.
MOVES = {
    "a call whose end waits is listed no more": Mutation(
        "emit/calls.h", "is_listed ? SHM_ENDED_CALL : 0", "0"
    ),
    "open calls stay behind": Mutation("emit/move.h", "shm_carry_call(p, waiting, slot, s);", ";"),
    "open calls of a series that waits stay behind": Mutation(
        "emit/place.h", "    if (s->type == SHM_TYPE_CALLS)\n", "    if (false)\n"
    ),
}


@pytest.mark.parametrize(
    ("name", "fault"), [*(("drain", fault) for fault in CONTROLS), *(("moves", f) for f in MOVES)]
)
def test_a_fault_in_the_core_is_found(name: str, fault: str, build: Path, tmp_path: Path) -> None:
    """Check that the input finds it that is kept because it once did."""
    mutation = MOVES[fault] if fault in MOVES else CONTROLS[fault]
    csrc = tmp_path / "csrc"
    shutil.copytree(targets.CSRC, csrc)
    source = (csrc / mutation.file).read_text()
    assert mutation.old in source, f"{mutation.file} has changed: mend this control"
    (csrc / mutation.file).write_text(source.replace(mutation.old, mutation.new, 1))
    command = targets.compile_target(name, tmp_path, csrc, build, mutation.file)
    kept = targets.HERE / "found" / name / fault.replace(" ", "-").replace("'", "")
    done = targets.run(command, name, [kept], tmp_path / "found")
    assert not done.passed
    assert "ERROR: " in done.text or "runtime error: " in done.text
