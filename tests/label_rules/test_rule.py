# SPDX-License-Identifier: Apache-2.0
"""Label values after rules, beside a slow and obvious twin."""

from __future__ import annotations

import fnmatch
import gzip
import random
import struct
import zlib
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.dictionary import Definition, decode_strings, encode_strings
from shmetrics.label_rules import rule
from shmetrics.label_rules.rule import FamilyRules, Hash, Rule, drop, keep
from shmetrics.sample_names import sample_names

OVERFLOW = layout.OVERFLOW_VALUE
LABELS = ("server", "topic", "method")


def family(
    name: str = "jobs", type: int = layout.TYPE_COUNTER, labels: tuple[str, ...] = LABELS
) -> Definition:
    return Definition(type, name, "", "", "", labels, ())


texts = st.text() | st.sampled_from(
    ["", OVERFLOW, "#0", "#7", "#07", "#8", "#", "#x", "#²", "\ud800"]
)
changes = st.just(keep) | st.just(drop) | st.builds(Hash, st.integers(1, rule.MAX_NAMES))
patterns = st.text("ab*_", min_size=1, max_size=8)
rules_of_names = st.builds(Rule, patterns, st.sampled_from([*LABELS, "other"]), changes)
events = st.lists(st.tuples(texts, texts, texts), max_size=30)


def ruled_by_hand(rules: list[Rule], values: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the values after the rules, as the documentation defines them."""
    found = []
    for label, value in zip(LABELS, values, strict=True):
        for one in rules:
            if one.label == label and fnmatch.fnmatchcase(name, one.family):
                if value == OVERFLOW or one.change is keep:
                    pass
                elif one.change is drop:
                    value = ""
                elif isinstance(one.change, Hash) and value:
                    names = [f"#{n}" for n in range(one.change.names)]
                    if value not in names:
                        value = names[zlib.crc32(value.encode("utf-8", "replace")) % len(names)]
                break
        found.append(value)
    return tuple(found)


few = st.builds(
    Rule,
    patterns,
    st.sampled_from([*LABELS, "other"]),
    st.just(keep) | st.just(drop) | st.builds(Hash, st.integers(1, 9)),
)


@given(st.lists(few, max_size=6), events, st.text("ab_", min_size=1, max_size=6))
def test_the_values_are_those_of_the_twin(
    rules: list[Rule], events: list[tuple[str, ...]], name: str
) -> None:
    ruling = FamilyRules(rules, family(name, layout.TYPE_GAUGE))
    for values in events:
        assert ruling.values(values) == ruled_by_hand(rules, values, name)


@given(st.lists(rules_of_names, max_size=6), events)
def test_what_both_sides_apply_is_as_if_one_had(
    rules: list[Rule], events: list[tuple[str, ...]]
) -> None:
    """Check the process, with the rules that it gets, and then the collector, which sees UTF-8."""
    collector = FamilyRules(rules, family("ab"))
    process = FamilyRules(rule.decode(rule.encode(rules, 10_000)), family("ab"))
    for values in events:
        sent = decode_strings(encode_strings(process.values(values)))
        raw = decode_strings(encode_strings(values))
        assert collector.values(sent) == collector.values(raw)
        assert collector.values(collector.values(raw)) == collector.values(raw)


@given(st.lists(rules_of_names, max_size=6), events, st.randoms())
def test_no_total_changes_whatever_the_order(
    rules: list[Rule], events: list[tuple[str, ...]], order: random.Random
) -> None:
    ruling = FamilyRules(rules, family("ab"))
    ruled = Counter(map(ruling.values, events))
    assert ruled.total() == len(events)
    order.shuffle(events)
    assert Counter(map(ruling.values, events)) == ruled


def test_the_hash_is_the_crc_of_gzip() -> None:
    """Check the hash of the documentation: any language can find out where a value counts."""
    for value in ("compute-17.example.org", "Ünï", "x" * 5000):
        (crc,) = struct.unpack_from("<I", gzip.compress(value.encode()), -8)
        assert Hash(64)(value) == f"#{crc % 64}"
    assert Hash(64)("compute-17.example.org") == "#21"
    assert Hash(1)("x") == "#0"


def test_only_its_own_names_are_left_alone_by_a_hash() -> None:
    assert [Hash(8)(f"#{n}") for n in range(8)] == [f"#{n}" for n in range(8)]
    for value in ("#8", "#07", "#00", "#", "7", "#7 ", "#-1", "#\u00b2", "#77777"):
        assert Hash(8)(value) == f"#{zlib.crc32(value.encode()) % 8}"
    assert Hash(8)("") == ""


@pytest.mark.parametrize("change", [drop, Hash(4), str.upper])
def test_what_has_overflowed_is_never_ruled(change: rule.Change) -> None:
    ruling = FamilyRules([Rule("*", "server", change), Rule("*", "exception", change)], family())
    assert ruling.values((OVERFLOW, OVERFLOW, "c")) == (OVERFLOW, OVERFLOW, "c")
    assert ruling.value("exception", OVERFLOW) == OVERFLOW


def test_a_hash_spreads_host_names() -> None:
    found = Counter(map(Hash(64), (f"compute-{n:04}.example.org" for n in range(6400))))
    assert len(found) == 64
    assert max(found.values()) < 150


@given(st.text("*ab", min_size=1, max_size=8), st.text("ab", max_size=10))
@example("*", "")
@example("a*a", "a")
@example("*ab*ab*", "aab")
def test_a_star_is_any_text(pattern: str, name: str) -> None:
    assert rule.matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_the_first_rule_for_a_label_decides() -> None:
    rules = [
        Rule("jobs", "server", keep),
        Rule("*", "server", drop),
        Rule("*", "topic", Hash(1)),
        Rule("*", "topic", drop),
    ]
    assert FamilyRules(rules, family("jobs")).values(("a", "b", "c")) == ("a", "#0", "c")
    assert FamilyRules(rules, family("others")).values(("a", "b", "c")) == ("", "#0", "c")


@pytest.mark.parametrize(
    ("type", "name"),
    [
        (layout.TYPE_COUNTER, "jobs"),
        (layout.TYPE_COUNTER, "jobs_total"),
        (layout.TYPE_CALLS, "jobs"),
        (layout.TYPE_CALLS, "jobs_invocation_start_total"),
        (layout.TYPE_CALLS, "jobs_invocation_end_total"),
        (layout.TYPE_CALLS, "jobs_processing_seconds"),
        (layout.TYPE_CALLS, "jobs_exception_total"),
        (layout.TYPE_HISTOGRAM, "jobs"),
        (layout.TYPE_GAUGE, "jobs"),
    ],
)
def test_a_family_goes_by_every_name_that_it_is_shown_under(type: int, name: str) -> None:
    definition = family("jobs", type)
    assert name == "jobs" or name in sample_names(definition) | {"jobs_processing_seconds"}
    rules = [Rule(name, "server", drop)]
    assert FamilyRules(rules, definition).values(("a", "b", "c")) == ("", "b", "c")
    assert FamilyRules(rules, family("job", type)).is_idle


def test_the_label_of_exceptions_is_ruled_with_its_calls() -> None:
    ruling = FamilyRules(
        [Rule("*_exception_total", "exception", Hash(1))], family(type=layout.TYPE_CALLS)
    )
    assert ruling.value("exception", "KeyError") == "#0"
    assert ruling.value("exception", OVERFLOW) == OVERFLOW
    assert ruling.values(("a", "b", "c")) == ("a", "b", "c")


def test_the_collectors_own_label_behind_a_gauges_is_left_alone() -> None:
    ruling = FamilyRules([Rule("*", "pid", drop)], family(labels=("server", "pid")))
    assert ruling.values(("a",)) == ("a",)


# ---- told to a process -----------------------------------------------------------------------


@given(st.lists(rules_of_names, max_size=rule.MAX_RULES))
def test_rules_are_told_as_they_are(rules: list[Rule]) -> None:
    assert list(rule.decode(rule.encode(rules, 100_000))) == rules


@given(st.lists(rules_of_names, max_size=9), st.integers(0, 200), events)
def test_what_there_is_no_room_to_tell_is_left_to_the_collector(
    rules: list[Rule], max_bytes: int, events: list[tuple[str, ...]]
) -> None:
    text = rule.encode(rules, max_bytes)
    assert len(text) <= max_bytes
    process, collector = (
        FamilyRules(rule.decode(text), family("ab")),
        FamilyRules(rules, family("ab")),
    )
    for values in events:
        assert collector.values(process.values(values)) == collector.values(values)


def test_no_rule_is_told_without_those_before_it() -> None:
    """Check rules that may keep the last one from a family."""
    rules = [Rule("oslo_messaging_rpc_client", "server", keep), Rule("*", "server", drop)]
    assert rule.encode(rules, len("drop server *\n")) == ""


def test_a_pattern_is_not_told() -> None:
    rules = [Rule("a*", "server", str.upper), Rule("*", "server", drop)]
    assert rule.encode(rules, 1000) == "keep server a*\ndrop server *\n"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "\n",
        "drop server a",
        "drop server \n",
        "drop  a\n",
        "drop server a 1\n",
        "drop server a\0\n",
        "Drop server a\n",
        "rewrite server a .*\n",
        "hash server a\n",
        "hash server a 0\n",
        "hash server a -1\n",
        "hash server a 65537\n",
        "hash server a 000064\n",
        "hash server a ²\n",
        "hash server a \u0661\n",
        "hash server a 1e3\n",
        f"drop server {'a' * 256}\n",
        "drop server a\n" * 101,
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rule$|half a one$"):
        rule.decode(text)


@given(st.text() | st.text("drophaskey *_ab01\n"))
def test_garbage_is_refused_or_rules(text: str) -> None:
    try:
        found = rule.decode(text)
    except ValueError:
        return
    assert rule.decode(rule.encode(found, len(text))) == found
