# SPDX-License-Identifier: Apache-2.0
"""The tie between the models and the code: they quote it, store by store.

An inline of a model that has the name of a function in csrc/ does what that does. After "C:" it
quotes the stores and fences that it stands for; all of them, and in their order.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .core import all_functions

HERE = Path(__file__).parent
MODELS = ("lane", "calls", "life", "move")

INLINE = re.compile(
    r"^inline (?P<name>\w+)\([^)]*\) \{\n(?P<body>.*?)^\}", re.MULTILINE | re.DOTALL
)
COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)

# What writes to memory that the other side reads, or a successor. In code without blanks.
STORE = re.compile(
    r"atomic_store_explicit\(|shm_fence\(\)|atomic_signal_fence\("
    r"|(?<![\w>])(undo->|spill->intent->|spill\.intent->|header->intent\.)[^=!<;,()]*(?<!>)=(?!=)"
    r"|(?<=\))\*plan->cell\[|(?<=\))cells\[undo->"
)

# Functions with stores of which no total depends on the order.
LEFT_OUT = {
    "shm_fence": "the fence itself",
    "shm_lane_format_after": "nobody has the lane yet",
    "shm_cell_count": "what was dropped, and why: one store, of one writer",
    "shm_cell_add": "a gauge: one store, of one writer",
    "shm_describe_slot": "what is shown of an open call; relacy looks at it",
    "shm_keep_slot": "a slot of no series: one store, of one writer",
    "map_private": "in memory of the process alone",
    "leave": "the same",
    "shm_carry_cells": "the same",
    "shm_carry_call": "the same",
    "shm_carry_state": "the same",
    "shm_unlist_waiting": "the same",
    "shm_find_call_end": "the same",
    "shm_settle_chain": "the same",
    "shm_settle_cells": "one cell that counts, or state; what has more is in shm_settle_commit",
    "shm_put_gauge": "a gauge: one store, and a count that tells of it; relacy looks at it",
    "shm_put_total": "an observed total; relacy looks at it",
    "shm_put_generation": "the same",
    "shm_cell_start": "the same",
    "shm_append_entry": "what gives meaning to ids; relacy looks at it",
    "shm_append_series": "a fence against signal handlers: tests/emitter/test_interruptions.py",
    "shm_try_family": "the same",
    "shm_define_here": "the same",
    "shm_take_cells": "the same",
    "report": "as count_taken, for other counts",
    "shm_drain_tell": "notices for people; a look that comes too early is repeated",
    "shm_drain_heard": "the same",
    "shm_notices_append": "the same",
    "shm_process_notices": "the same",
    "shm_drain_give_up": "one store, after the last pass",
}


def squeezed(text: str) -> str:
    return "".join(text.split())


def quotes(model: str) -> dict[str, list[str]]:
    """By inline, what it quotes of the code, without blanks."""
    found = {}
    for inline in INLINE.finditer((HERE / f"{model}.pml").read_text()):
        text = "\n".join(re.sub(r"\n *\*", "\n", one) for one in COMMENT.findall(inline["body"]))
        found[inline["name"]] = [squeezed(part) for part in re.split(r"(?m)^ C: ", text)[1:]]
    return found


def places(quoted: list[str], code: str) -> list[tuple[int, int]]:
    """Return where in the code each quote is, one behind the other. Raises AssertionError."""
    found, at = [], 0
    for quote in quoted:
        begin = code.find(quote, at)
        assert begin >= 0, f"not in the code, or not here: {quote}"
        at = begin + len(quote)
        found.append((begin, at))
    return found


def missing(quoted: list[str], code: str) -> list[str]:
    """The stores in the code that are in none of the quotes."""
    spans = places(quoted, code)
    return [
        code[store.start() : store.start() + 80]
        for store in STORE.finditer(code)
        if not any(begin <= store.start() < end for begin, end in spans)
    ]


CODE = {name: squeezed(body) for name, body in all_functions().items()}


@pytest.mark.parametrize("model", MODELS)
def test_what_a_model_quotes_is_in_the_code_in_that_order(model: str) -> None:
    found = quotes(model)
    assert any(found.values())
    for name, quoted in found.items():
        places(quoted, CODE.get(name, ""))


def test_every_store_of_the_core_is_in_a_model() -> None:
    """A function that is modelled has all its stores in one model; one that is not says why."""
    modelled = [quotes(model) for model in MODELS]
    for name, code in CODE.items():
        if name not in LEFT_OUT:
            fewest = min((missing(one.get(name, []), code) for one in modelled), key=len)
            assert not fewest, f"{name}: no model has {fewest}"


def test_a_store_that_is_new_or_moved_is_noticed() -> None:
    code = squeezed("shm_fence(); undo->kind = SHM_UNDO_NONE;")
    quoted = ["shm_fence()", "undo->kind=SHM_UNDO_NONE"]
    assert missing(quoted, code) == []
    assert missing(quoted, code + squeezed("undo->index = tail;")) == ["undo->index=tail;"]
    with pytest.raises(AssertionError, match="not in the code, or not here"):
        places(quoted[::-1], code)


def test_nothing_is_left_out_that_is_not_there() -> None:
    assert set(LEFT_OUT) <= set(CODE)
    assert sum(bool(STORE.search(code)) for code in CODE.values()) > 20
