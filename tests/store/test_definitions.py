# SPDX-License-Identifier: Apache-2.0
"""Definitions of families: those that are taken, and those that contradict others."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric

from shmetrics import definitions, layout
from shmetrics.definitions import Refusal
from shmetrics.dictionary import Definition
from shmetrics.emitter import strict
from shmetrics.sample_names import sample_names
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.holders import Holder
from tests.nodes.opened import opened

COUNTER = Definition(layout.TYPE_COUNTER, "jobs", "Jobs", "", "", ("queue",), ())
GAUGE = Definition(layout.TYPE_GAUGE, "busy", "Busy", "", "all", ("queue",), ())
HISTOGRAM = Definition(layout.TYPE_HISTOGRAM, "size_bytes", "Size", "bytes", "", ("queue",), (1, 2))
CALLS = Definition(layout.TYPE_CALLS, "rpc", "Calls", "", "", ("method",), (1, 2))
ALL = (COUNTER, GAUGE, HISTOGRAM, CALLS)

BAD = {
    "bad_name": [COUNTER._replace(name="")],
    "reserved_name": [
        kind._replace(name=name, unit="")
        for kind, names in (
            (COUNTER, ("shmetrics_x", "process_x", "python_x", "process", "python", "shmetrics")),
            # A scheme of names would make them the collector's.
            (
                COUNTER,
                ("shmetrics.lanes", "process.cpu", "python/", "shmetrics\n", "python\u00e9x"),
            ),
            (GAUGE, ("process.cpu.time", "shmetrics\N{SNOWMAN}", "python.")),
            (HISTOGRAM, ("process.x",)),
            (CALLS, ("shmetrics-rpc",)),
            (GAUGE, ("shmetrics_x", "process_", "python_x")),
            (HISTOGRAM, ("process_x", "process", "python", "shmetrics")),
            (CALLS, ("shmetrics_x", "process", "python", "shmetrics")),
        )
        for name in names
    ],
    "bad_label_name": [
        *(COUNTER._replace(label_names=(name,)) for name in ("", "__a", "__name__", "__\n")),
        COUNTER._replace(name="a\nb", label_names=("__a",)),
        COUNTER._replace(label_names=("a", "b", "a")),
        COUNTER._replace(label_names=tuple(f"l{n}" for n in range(65))),
        HISTOGRAM._replace(label_names=("le",)),
        CALLS._replace(label_names=("le",)),
        CALLS._replace(label_names=("exception",)),
    ],
    "bad_unit": [
        HISTOGRAM._replace(unit="seconds"),
        COUNTER._replace(unit="jobs"),
        GAUGE._replace(name="a_x\n# EOF", unit="x\n# EOF"),  # it is not quoted in its line
        GAUGE._replace(name="a_b c", unit="b c"),
    ],
    "bad_mode": [GAUGE._replace(mode=mode) for mode in ("", "live", "average", "ALL")],
    "bad_buckets": [
        kind._replace(bounds=bounds)
        for kind in (HISTOGRAM, CALLS)
        for bounds in (
            (1.0, 1.0),
            (2.0, 1.0),
            (1.0, float("inf")),
            (float("nan"),),
            tuple(range(513)),
        )
    ]
    + [COUNTER._replace(bounds=(1.0,))],
}


@pytest.mark.parametrize("definition", ALL, ids=lambda one: str(one.name))
def test_a_good_definition_is_taken(definition: Definition) -> None:
    assert definitions.check(definition) is None


@pytest.mark.parametrize(
    "name", ["my.metric", "1st", "a b", "jobs\n", "\N{SNOWMAN}", '"', "_shmetrics.x", "x.process_y"]
)
@pytest.mark.parametrize("kind", ALL, ids=lambda one: str(one.name))
def test_a_name_is_any_text(kind: Definition, name: str) -> None:
    assert definitions.check(kind._replace(name=name, unit="", label_names=(name, "x.y"))) is None


@pytest.mark.parametrize(
    ("reason", "definition"), [(reason, bad) for reason, all_ in BAD.items() for bad in all_]
)
def test_a_bad_definition_is_refused_in_one_line(reason: str, definition: Definition) -> None:
    refusal = definitions.check(definition)
    assert refusal is not None
    assert refusal.reason == reason
    assert refusal.text.isprintable()
    assert repr(definition.name)[1:-1] in refusal.text


@pytest.mark.parametrize(
    "definition",
    [*(bad for all_ in BAD.values() for bad in all_), GAUGE._replace(label_names=("pid",))],
)
def test_strict_mode_raises_for_it(definition: Definition) -> None:
    with pytest.raises(ValueError, match=r".+"):
        strict.check(definition)


names = st.text("shmetric_poyn.-", min_size=1, max_size=12) | st.sampled_from(
    [
        prefix + more
        for prefix in ("shmetrics", "process", "python")
        for more in ("", "_", "_x", ".", "/x", "\u00e9")
    ]
)


@given(st.sampled_from(ALL), names)
def test_no_sample_of_what_is_taken_looks_like_the_collectors(kind: Definition, name: str) -> None:
    definition = kind._replace(name=name, unit="")
    shown = sample_names(definition)
    is_ours = any(re.match(r"(shmetrics|process|python)[^a-zA-Z0-9:]", one) for one in shown)
    refusal = definitions.check(definition)
    assert (refusal is not None and refusal.reason == "reserved_name") == is_ours


@pytest.mark.parametrize(
    ("name", "is_reserved"),
    [
        ("shmetrics_units", False),
        ("shmetrics_unit_reads_failed_total", False),
        ("shmetrics_gather_seconds_bucket", False),
        ("shmetrics_probe_killed_total", False),
        ("shmetrics_unit", True),
        ("shmetrics_gatherings", True),
        ("shmetrics_lanes", True),
    ],
)
def test_the_gatherer_may_name_its_own(name: str, is_reserved: bool) -> None:
    assert definitions.is_reserved(name) == is_reserved


# ---- beside each other ----------------------------------------------------------------------


@pytest.fixture
def families(tmp_path: Path) -> Iterator[Families]:
    with opened(tmp_path / "store") as found:
        yield found


def test_the_same_definition_is_the_same_family(families: Families) -> None:
    for definition in ALL:
        first = families.define(definition)
        assert isinstance(first, Family)
        assert families.define(definition._replace(help="in other words")) is first


SHAPES = [
    (COUNTER, {"label_names": ()}),
    (COUNTER, {"label_names": ("line",)}),
    (COUNTER, {"label_names": ("queue", "kind")}),
    (GAUGE, {"mode": "sum"}),
    (HISTOGRAM, {"bounds": (1, 2, 3)}),
    (HISTOGRAM, {"bounds": ()}),
    (CALLS, {"bounds": (1.5, 2)}),
]
SAME = [
    (HISTOGRAM, {"unit": ""}),
    (GAUGE, {"mode": "liveall"}),
    (COUNTER, {"help": "in other words"}),
]
OTHERS = [
    (COUNTER, {"type": layout.TYPE_GAUGE, "mode": "all"}),
    (CALLS, {"type": layout.TYPE_HISTOGRAM}),
    (CALLS, {"type": layout.TYPE_GAUGE, "mode": "sum", "name": "rpc_exception", "bounds": ()}),
    (HISTOGRAM, {"type": layout.TYPE_COUNTER, "name": "size_bytes_count", "bounds": ()}),
]
NOVA = Holder(7, 0, "nova (pid 12)")


@pytest.mark.parametrize(("definition", "change"), SHAPES, ids=str)
def test_another_shape_is_another_family(
    families: Families, definition: Definition, change: dict[str, object]
) -> None:
    """Check two shapes of one name: the totals of the first one stay."""
    first = families.define(definition)
    second = families.define(definition._replace(**change))  # type: ignore[arg-type]
    assert isinstance(first, Family)
    assert isinstance(second, Family)
    assert first is not second
    assert families.define(definition) is first
    name = families.names.get(definition.name)
    assert name is not None
    assert name.shapes == [second, first]
    families.hold(first, definition, NOVA)
    families.settle()
    assert name.shapes == [first, second]  # somebody has it: it counts


@pytest.mark.parametrize(("definition", "change"), SAME, ids=str)
def test_what_is_said_otherwise_is_the_same_family(
    families: Families, definition: Definition, change: dict[str, object]
) -> None:
    """Check that the newest holder's text is shown, also when that one is gone."""
    family = families.define(definition)
    newer = definition._replace(**change)  # type: ignore[arg-type]
    assert families.define(newer) is family
    assert isinstance(family, Family)
    late, later = NOVA._replace(lane_id=8), NOVA._replace(lane_id=9)
    for holder, says in ((NOVA, definition), (late, newer), (later, definition)):
        families.hold(family, says, holder)
    families.settle()
    assert family.definition == newer
    families.release(family, newer, late)
    families.settle()
    assert family.definition == definition
    families.hold(family, newer, late._replace(lane_id=10))
    families.release(family, definition, NOVA)
    families.release(family, definition, later)
    families.release(family, newer, late._replace(lane_id=10))
    families.settle()
    assert family.definition == newer


def test_what_is_said_otherwise_again_and_again_takes_no_room(tmp_path: Path) -> None:
    """Check that the next collector knows the last text, unless it is very long."""
    with opened(tmp_path / "store") as families:
        family = families.define(CALLS)
        assert isinstance(family, Family)
        for number in range(3000):
            definition, holder = CALLS._replace(help=f"{number}"), NOVA._replace(lane_id=number)
            families.hold(family, definition, holder)
            families.settle()
            families.release(family, definition, holder)
        assert families.store.log.used_bytes < 100_000
        long = CALLS._replace(help="x" * 60_000)
        families.hold(family, long, NOVA._replace(lane_id=3000))
        families.settle()
        assert family.definition == long
        assert families.store.log.used_bytes < 100_000
        del family
    with opened(tmp_path / "store") as families:
        assert [one.definition.help for one in families] == ["2999", "2999: exceptions"]


@pytest.mark.parametrize(("definition", "change"), OTHERS, ids=str)
def test_a_name_that_somebody_has_is_refused_to_others(
    families: Families, definition: Definition, change: dict[str, object]
) -> None:
    """Check the one line of the refusal, which names the holder; without a holder, the name is
    taken."""
    family = families.define(definition)
    assert isinstance(family, Family)
    families.hold(family, definition, NOVA)
    other = definition._replace(unit="", **change)  # type: ignore[arg-type]
    refusal = families.define(other)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "conflict"
    assert refusal.obstacle == definition.name
    assert refusal.text.startswith(f"{other.name}: ")
    assert refusal.text.endswith(f"{definition.name}, which nova (pid 12) has") or (
        re.search(r": type \w+ contradicts \w+, which nova \(pid 12\) has$", refusal.text)
    )
    assert families.define(definition) is family
    assert families.take_freed() == set()
    families.release(family, definition, NOVA)
    assert families.take_freed() == {definition.name}
    assert isinstance(families.define(other), Family)
    assert families.names.get(definition.name) is None or definition.name == other.name


# ---- as prometheus_client sees it -----------------------------------------------------------


class Described:
    """A family as prometheus_client's registry would be told of it."""

    def __init__(self, definition: Definition) -> None:
        name = definition.name
        kinds = {
            layout.TYPE_COUNTER: {name: "counter"},
            layout.TYPE_GAUGE: {name: "gauge"},
            layout.TYPE_HISTOGRAM: {name: "histogram"},
            layout.TYPE_CALLS: {
                name + "_invocation_start": "counter",
                name + "_invocation_end": "counter",
                name + "_processing_seconds": "histogram",
                name + "_exception": "counter",
            },
        }
        self._metrics = [Metric(*named, typ=kind) for named, kind in _named(kinds[definition.type])]

    def describe(self) -> list[Metric]:
        return self._metrics

    collect = describe


def _named(kinds: dict[str, str]) -> list[tuple[tuple[str, str], str]]:
    return [((name, "help"), kind) for name, kind in kinds.items()]


suffixes = st.sampled_from(
    (
        *("", "_total", "_created", "_bucket", "_sum", "_count", "_invocation_start"),
        *("_invocation_end_total", "_processing_seconds", "_processing_seconds_sum"),
        *("_exception", "_exception_total", "_exception_created"),
    )
)
some = st.builds(
    lambda kind, suffix: kind._replace(name="a" + suffix, unit=""),
    st.sampled_from(ALL),
    suffixes,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(some, min_size=2, max_size=4))
@example([CALLS, GAUGE._replace(name="rpc_processing_seconds")])
@example([CALLS, HISTOGRAM._replace(name="rpc_invocation_start", unit="")])
@example([COUNTER, GAUGE._replace(name="jobs_total")])
def test_families_get_along_if_prometheus_client_says_so(found: list[Definition]) -> None:
    """Check pairs of families, of which two could write the same line of an exposition."""
    with (
        tempfile.TemporaryDirectory(prefix="shm-definitions-") as folder,
        opened(Path(folder) / "store") as families,
    ):
        answers: list[str | None] = []
        for number, definition in enumerate(found):
            family = families.define(definition)
            answers.append(family.reason if isinstance(family, Refusal) else None)
            if isinstance(family, Family):
                families.hold(family, definition, Holder(1, number, "a process"))
    registry = CollectorRegistry()
    taken: dict[str, Definition] = {}
    for definition, answer in zip(found, answers, strict=True):
        expected = None
        if definition.name in taken:
            expected = None if definition.type == taken[definition.name].type else "conflict"
        else:
            try:
                registry.register(Described(definition))
                taken[definition.name] = definition
            except ValueError:
                expected = "conflict"
        assert answer == expected, definition
