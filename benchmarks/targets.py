# SPDX-License-Identifier: Apache-2.0
"""Targets for the figures. The report says whether they are reached; no exit status depends on it.

Ratios are of medians of one run; the ratio of the best values stands beside, for a machine that
was busy. Times of other machines mean nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import report
from benchmarks.contender import Unit
from benchmarks.summary import Difference, Figures, Summary, Verdict

Figure = Callable[[Figures], float]


@dataclass(frozen=True)
class Target:
    """`ours` is at most `most` times `than`, or `than` at least `least` times `ours`.

    Contenders are named GROUP/KEY. above: a third one, which is subtracted from both. Without
    `than`, `most` is an amount in `unit`. sure: the difference of the two, which are
    measured together, has an interval with zero in it, and is less than `most` of `than`. paired:
    they are measured together, and the ratio is the median of pairs.
    """

    what: str
    ours: str
    than: str = ""
    most: float = 0.0
    least: float = 0.0
    above: str = ""
    unit: Unit = "second"
    sure: bool = False
    paired: bool = False


def figures(summary: Summary, name: str) -> Figures | None:
    group, _, key = name.partition("/")
    part = summary.part(group)
    return part.figures(key) if part else None


def difference(summary: Summary, name: str) -> Difference | None:
    group, _, key = name.partition("/")
    part = summary.part(group)
    return part.difference(key) if part else None


def interval(target: Target, summary: Summary) -> Verdict:
    wanted = f"not measurable, under {target.most:.1%}"
    found = difference(summary, target.ours)
    one = figures(summary, target.than)
    if not found or not one:
        return Verdict(target.what, wanted)
    met = found.low <= 0 <= found.high and abs(found.median) < target.most * one.median
    return Verdict(target.what, wanted, report.differs(found, target.unit), "", met)


def verdict(target: Target, summary: Summary) -> Verdict:
    if target.sure:
        return interval(target, summary)
    ours, than, above = (
        figures(summary, name) for name in (target.ours, target.than, target.above)
    )
    unit = target.unit
    wanted = f"≤ {target.most:g} times" if target.than else f"≤ {report.amount(target.most, unit)}"
    if target.least:
        wanted = f"{target.least:g} times less"
    if not ours or bool(target.than) != bool(than) or bool(target.above) != bool(above):
        return Verdict(target.what, wanted)

    def measured(of: Figure) -> float:
        """The ratio that is bounded, or the amount."""
        ground = of(above) if above else 0.0
        cost, theirs = of(ours) - ground, of(than) - ground if than else 0.0
        if target.least:
            return theirs / cost if cost > 0 else float("inf")
        return cost / theirs if target.than else cost

    def said(value: float) -> str:
        return f"{report.times(value)} times" if target.than else report.amount(value, unit)

    pairs = difference(summary, target.ours) if target.paired else None
    median = pairs.times if pairs else measured(lambda found: found.median)
    best = measured(lambda found: found.best)
    met = median >= target.least if target.least else median <= target.most
    return Verdict(target.what, wanted, said(median), said(best), met)


def verdicts(summary: Summary) -> tuple[Verdict, ...]:
    return tuple(verdict(target, summary) for target in TARGETS)


MIB = 1024.0**2

TARGETS = (
    Target(
        "`Counter.inc()`, to prometheus_client multiprocess",
        "inc/collector",
        "inc/multiprocess",
        least=60,
    ),
    Target(
        "`Counter.inc()`, to an empty method of a C type", "inc/collector", "inc/floor", most=1.4
    ),
    Target("`labels(…).inc()`", "labelled/position", most=45e-9, above="labelled/floor"),
    Target(
        "the same, to prometheus_client multiprocess",
        "labelled/position",
        "labelled/multiprocess",
        least=30,
        above="labelled/floor",
    ),
    Target("`labels(…).inc()`, by name", "labelled/name", most=60e-9, above="labelled/floor"),
    Target(
        "the same, to prometheus_client multiprocess",
        "labelled/name",
        "labelled/multiprocess-name",
        least=25,
        above="labelled/floor",
    ),
    Target(
        "`with child.time():`, to `with call():`",
        "timers/time",
        "timers/call",
        most=1.1,
        above="timers/floor",
    ),
    Target(
        "the same, to prometheus_client multiprocess",
        "timers/time",
        "timers/multiprocess",
        least=20,
        above="timers/floor",
    ),
    Target(
        "`with family.labels(…).time():`, to `with call():`",
        "timers/labels",
        "timers/call",
        most=1.5,
        above="timers/floor",
    ),
    Target(
        "the same, to prometheus_client multiprocess",
        "timers/labels",
        "timers/multiprocess-labels",
        least=20,
        above="timers/floor",
    ),
    Target(
        "`@child.time()`, above the function, to `with call():`",
        "timers/decorated",
        "timers/call",
        most=1.2,
    ),
    Target(
        "`@call()`, above the function, to `with call():`",
        "timers/decorated-call",
        "timers/call",
        most=1.2,
    ),
    Target(
        "`Histogram.observe()`, to prometheus_client multiprocess",
        "observe/room",
        "observe/multiprocess",
        least=45,
    ),
    Target("`Histogram.observe()`, to an empty method", "observe/room", "observe/floor", most=2),
    Target("`ObservedCounter.set_total()`", "totals/one", most=25e-9),
    Target("the same, 1,000 at once, per value", "totals/at-once", most=12e-9),
    Target(
        "a whole RPC, to prometheus_client multiprocess", "rpc/room", "rpc/multiprocess", least=40
    ),
    Target(
        "a whole RPC, to the same block, two clocks",
        "turns/call",
        "turns/clocks",
        most=1.25,
        paired=True,
    ),
    Target(
        "the driver hook, to stock metrics enabled",
        "hook/hook",
        "hook/stock",
        least=250,
        above="hook/floor",
    ),
    Target(
        "the driver hook, to stock metrics disabled",
        "hook/hook",
        "hook/stock-off",
        most=0.5,
        above="hook/floor",
    ),
    Target(
        "an RPC over RabbitMQ, with the hook and without",
        "rabbit/hook",
        "rabbit/plain",
        most=0.002,
        sure=True,
    ),
    Target("a span, to OSProfiler's own, no-op", "span/compiled", "span/noop", least=15),
    Target("a span, to OSProfiler's own, Redis", "span/compiled", "span/redis", least=40),
    Target("OSProfiler's own with `shm://`, to Redis", "span/shm", "span/redis", least=5),
    Target(
        "a span where there is no trace, to OSProfiler's own",
        "resting/compiled",
        "resting/own",
        least=10,
    ),
    Target(
        "the same, more than no feature", "resting/compiled", most=150e-9, above="resting/floor"
    ),
    Target("assembling and storing a span: 50,000 per second", "kept/kept", most=20e-6),
    Target(
        "draining metrics while spans are written, to no spans",
        "drain-beside/beside",
        "drain-beside/alone",
        most=1.1,
    ),
    Target("storing one record in C", "ring-1/lane", most=3e-9),
    Target("draining one record in C", "core/observe-drain", most=15e-9),
    Target(
        "text of 10,000 RPC label sets, to prometheus_client",
        "scrape/text",
        "scrape/prometheus",
        least=100,
    ),
    Target("the same, to copying it", "scrape/text", "scrape/floor", most=4),
    Target("text of 100,000 label sets, to 10,000", "scrape/text-many", "scrape/text", most=11),
    *(
        Target(
            f"{what} of 200,000 living series, to 10,000",
            f"crowded-{what}/many",
            f"crowded-{what}/few",
            most=22,
        )
        for what in ("drain", "text")
    ),
    Target(
        "the same over HTTP, compressed, to prometheus_client, not compressed",
        "http/gzip",
        "http/prometheus",
        least=20,
    ),
    Target(
        "memory at most, 10,000 label sets scraped, to prometheus_client",
        "memory/collector-most",
        "memory/prometheus-most",
        least=6,
        unit="byte",
    ),
    Target(
        "memory between scrapes, to prometheus_client",
        "memory/collector",
        "memory/prometheus",
        least=6,
        unit="byte",
    ),
    Target(
        "memory with 100,000 label sets, to 10,000",
        "memory/collector-many",
        "memory/collector",
        most=11,
        unit="byte",
    ),
    Target(
        "a scrape of 500 lanes, to prometheus_client with 32 processes",
        "lanes/lanes-500",
        "lanes/multiprocess",
        least=50,
    ),
    *(
        Target(
            f"{what} after 10,000 processes with label sets of their own, to after 2,500",
            f"turnover/{what}-4",
            f"turnover/{what}-1",
            most=1.1,
            unit="byte",
        )
        for what in ("memory", "store")
    ),
    Target(
        "going to 20,000 label sets, to a lane that is large", "grow/grows", "grow/large", most=2
    ),
    Target("its longest event", "grow-longest/grows", most=0.002),
    Target("a collector with 500 idle lanes", "idle/lanes-500", most=0.005, unit="share"),
    Target("a pass over 500 units, per unit", "units/pass", most=60e-6),
    Target("the same, to reading the files by name", "units/pass", "units/plain", least=5),
    Target("some of the files, to netdata", "units/some", "units/netdata", least=5),
    Target(
        "the same, beyond the kernel's part",
        "units/some",
        "units/netdata",
        least=5,
        above="units/some-kernel",
    ),
    Target("reading what collectd reads, to collectd", "units/cpuacct", "units/collectd", least=20),
    Target(
        "a gatherer of 500 units, share of a core", "gatherer/gatherer", most=0.001, unit="share"
    ),
    Target("its memory, in proportion", "gatherer-memory/proportional", most=40 * MIB, unit="byte"),
    Target("the same, resident", "gatherer-memory/resident", most=40 * MIB, unit="byte"),
    Target("a pass over processes, per process", "by-unit/pass", most=15e-6),
    Target("the same, of many in one unit", "by-unit/many", "by-unit/pass", most=1.2),
    Target("the same, to prometheus-process-exporter", "by-unit/pass", "by-unit/exporter", least=5),
    Target("a command of a unit, from the wish until it is reaped", "probes/probe", most=0.002),
    *(
        target
        for name, usual, most in (
            ("graphite", "bridge", 2e-6),
            ("statsd", "datadog", 2e-6),
            ("remote-write", "runtime", 1.5e-6),
            ("otlp", "opentelemetry", 4e-6),
        )
        for target in (
            Target(f"a snapshot, per series: {name}", f"forward-{name}/{name}", most=most),
            Target(
                "the same, to the usual Python way",
                f"forward-{name}/{name}",
                f"forward-{name}/{usual}",
                least=20,
            ),
        )
    ),
    Target(
        "a scrape, while five destinations are in trouble",
        "forward-scrape/troubled",
        "forward-scrape/calm",
        most=1.1,
        paired=True,
    ),
    Target("`import shmetrics`, time", "import-time/shmetrics", most=0.020),
    Target("`import shmetrics`, memory", "import-memory/shmetrics", most=3 * MIB, unit="byte"),
)
