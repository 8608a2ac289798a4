# SPDX-License-Identifier: Apache-2.0
"""From counts of events to the samples that they make: the other half of work.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.nodes.samples import Labels
from tests.verify.soak.book import VISITS, Column, Counts
from tests.verify.soak.work import BOUNDS, COMMON, HOSTS

Sample = tuple[str, Labels]
Totals = Counter[Sample]

_SIZES = range(10)


def _key(name: str, **labels: str) -> Sample:
    return name, tuple(sorted(labels.items()))


def jobs(n: int) -> int:
    """1 + 2 + 3 + 1 + 2 + ... of n terms."""
    full, rest = divmod(n, 3)
    return 6 * full + (0, 1, 3)[rest]


def sizes(n: int) -> int:
    """0 + 1 + ... + 9 + 0 + ... of n terms."""
    full, rest = divmod(n, 10)
    return full * sum(_SIZES) + sum(_SIZES[:rest])


def sizes_up_to(bound: float, n: int) -> int:
    """Return how many of them are not above bound."""
    full, rest = divmod(n, 10)
    return sum((full + (size < rest)) for size in _SIZES if size <= bound)


def exceptions(n: int, which: int) -> int:
    """Return how many of n ends had this one of the three ways to end."""
    return (n + 2 - which) // 3


def visits(n: int, host: int) -> int:
    """Return how many of n visits were of the host with this number."""
    return (n + len(HOSTS) - 1 - host) // len(HOSTS)


def visit(host: int) -> Sample:
    """The sample that counts them."""
    return _key("soak_visits_total", host=HOSTS[host])


def of_events(counts: Counts, topic: str) -> Totals:
    """Return what these events add to counters, histograms, and gauges that are added up."""
    found: Totals = Counter()
    for host in range(min(counts[VISITS], len(HOSTS))):
        found[visit(host)] = visits(counts[VISITS], host)
    for whose, label in (("own", topic), ("common", COMMON)):
        its = {column.kind: n for column, n in counts.items() if column.whose == whose}
        found.update(dict(_of_series(its, label)))
    return found


def _of_series(counts: dict[str, int], topic: str) -> Iterator[tuple[Sample, int]]:
    yield _key("soak_jobs_total", topic=topic), jobs(counts["job"])
    yield _key("soak_size_sum", topic=topic), sizes(counts["size"])
    yield _key("soak_size_count", topic=topic), counts["size"]
    for bound in BOUNDS:
        yield (
            _key("soak_size_bucket", topic=topic, le=str(bound)),
            sizes_up_to(bound, counts["size"]),
        )
    yield _key("soak_size_bucket", topic=topic, le="+Inf"), counts["size"]
    yield _key("soak_rpc_invocation_start_total", topic=topic), counts["start"]
    yield _key("soak_rpc_invocation_end_total", topic=topic), counts["end"]
    yield _key("soak_rpc_processing_seconds_count", topic=topic), counts["end"]
    yield _key("soak_rpc_processing_seconds_bucket", topic=topic, le="+Inf"), counts["end"]
    for which, name in ((1, "KeyError"), (2, "ValueError")):
        ended = exceptions(counts["end"], which)
        yield _key("soak_rpc_exception_total", topic=topic, exception=name), ended
    yield _key("soak_level", topic=topic), counts["level"]


def of_the_dead(counts: Iterable[tuple[Counts, str]]) -> dict[Sample, float]:
    """Return what is shown of processes that are all gone, beside what of_events() adds up."""
    found: dict[Sample, float] = {}
    abandoned: Counter[str] = Counter()
    for one, topic in counts:
        for whose, label in (("own", topic), ("common", COMMON)):
            abandoned[label] += one[Column("start", whose)] - one[Column("end", whose)]
        peak, floor = one[Column("peak", "common")], one[Column("floor", "common")]
        found[_key("soak_peak")] = max(found.get(_key("soak_peak"), 0), peak)
        found[_key("soak_floor")] = min(found.get(_key("soak_floor"), 0), -floor)
    for label, n in abandoned.items():
        found[_key("shmetrics_rpc_abandoned_total", side="rpc", topic=label, method="")] = n
    return found
