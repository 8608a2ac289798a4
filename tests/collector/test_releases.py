# SPDX-License-Identifier: Apache-2.0
"""A new release of a service defines a metric otherwise, while the old one still runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tests.nodes.node import PATIENCE_SECONDS, Emitter, Node
from tests.nodes.samples import OPENMETRICS, Samples
from tests.servers.processes import until

pytestmark = pytest.mark.slow

CONFIG = "[store]\nold_shape_seconds = {seconds}\n"
LONG = 3600.0

# What both releases record once each time they are told to go on.
CHANGES = {
    "a label more": (
        'shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("q").inc()',
        'shmetrics.Counter("jobs", "Jobs", ["queue", "tenant"]).labels("q", "t").inc()',
        {"jobs_total{queue=q}": 1, "jobs_total{queue=q,tenant=t}": 1},
    ),
    "a label less": (
        'shmetrics.Counter("jobs", "Jobs", ["queue", "tenant"]).labels("q", "").inc()',
        'shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("q").inc()',
        {"jobs_total{queue=q}": 2},
    ),
    "labels in another order": (
        'shmetrics.Counter("jobs", "Jobs", ["queue", "tenant"]).labels("q", "t").inc()',
        'shmetrics.Counter("jobs", "Jobs", ["tenant", "queue"]).labels("t", "q").inc()',
        {"jobs_total{queue=q,tenant=t}": 2},
    ),
    "other buckets": (
        'shmetrics.Histogram("size", "Size", buckets=[1, 5]).observe(2)',
        'shmetrics.Histogram("size", "Size", buckets=[0.1, 1, 5, 10]).observe(2)',
        {
            "size_bucket{le=0.1}": 0,
            "size_bucket{le=1.0}": 0,
            "size_bucket{le=5.0}": 2,
            "size_bucket{le=10.0}": 2,
            "size_bucket{le=+Inf}": 2,
            "size_count{}": 2,
            "size_sum{}": 4,
        },
    ),
    "another help text": (
        'shmetrics.Counter("jobs", "old").inc()',
        'shmetrics.Counter("jobs", "new").inc()',
        {"jobs_total{}": 2},
    ),
    "another unit": (
        'shmetrics.Histogram("size_bytes", "Size", buckets=[5]).observe(2)',
        'shmetrics.Histogram("size_bytes", "Size", buckets=[5], unit="bytes").observe(2)',
        {"size_bytes_count{}": 2},
    ),
    "another mode": (
        'shmetrics.Gauge("depth", "Depth").set(3)',
        'shmetrics.Gauge("depth", "Depth", multiprocess_mode="livesum").set(4)',
        {"depth{}": 7},
    ),
    "a label of calls more": (
        """
call = shmetrics.Calls("rpc", "Calls", ["method"]).labels("m")
try:
    with call():
        raise KeyError
except KeyError:
    pass
""",
        """
call = shmetrics.Calls("rpc", "Calls", ["method", "topic"], buckets=[1, 2]).labels("m", "t")
with call():
    pass
""",
        {
            "rpc_invocation_start_total{method=m}": 1,
            "rpc_invocation_start_total{method=m,topic=t}": 1,
            "rpc_invocation_end_total{method=m}": 1,
            "rpc_exception_total{exception=KeyError,method=m}": 1,
            "rpc_processing_seconds_count{method=m,topic=t}": 1,
        },
    ),
}
SERVICE = 'while True:\n    exec({code!r})\n    pause("recorded")\n'


def service(node: Node, code: str) -> Emitter:
    found = node.emitter(SERVICE.format(code=code))
    found.until("recorded")
    return found


def restart(node: Node, config: str = "") -> None:
    node.stop()
    node.start(config)


def soon(node: Node, is_so: Callable[[], bool]) -> None:
    until(is_so, lambda: node.get("/metrics").decode(), PATIENCE_SECONDS)


def shown(found: Samples, names: Mapping[str, float]) -> dict[str, float]:
    """Return the samples of these names, as `name{label=value}`; empty labels are no labels."""
    samples = {
        f"{name}{{{','.join(f'{k}={v}' for k, v in labels if v)}}}": value
        for (name, labels), value in found.items()
    }
    return {name: samples[name] for name in names}


@pytest.mark.parametrize("change", CHANGES)
def test_both_releases_are_counted(node: Node, change: str) -> None:
    """Check both side by side, after a restart of the collector, and without the old one."""
    old, new, expected = CHANGES[change]
    node.start(CONFIG.format(seconds=LONG))
    with_old = service(node, old)
    with_new = service(node, new)
    for accept in ("", OPENMETRICS):
        assert shown(node.samples(accept), expected) == expected
    restart(node, CONFIG.format(seconds=LONG))
    assert shown(node.samples(), expected) == expected
    assert "refused" not in node.log
    assert node.samples().of("shmetrics_refused_families_total") == {}
    heads = [line for line in node.get("/metrics").decode().splitlines() if line[:6] == "# TYPE"]
    assert len(heads) == len({line.split()[2] for line in heads})
    with_old.kill()
    with_new.kill()


def test_the_help_is_the_new_releases(node: Node) -> None:
    """Check that the old help comes back when the last process of the new release has ended."""
    old, new, _ = CHANGES["another help text"]
    node.start()
    with_old, with_new = service(node, old), service(node, new)
    assert b"# HELP jobs_total new" in node.get("/metrics")
    with_new.kill()
    soon(node, lambda: b"# HELP jobs_total old" in node.get("/metrics"))
    with_old.kill()


def test_an_old_shape_leaves_with_its_last_process(node: Node) -> None:
    node.start(CONFIG.format(seconds=0))
    old, new, _ = CHANGES["a label more"]
    with_old, with_new = service(node, old), service(node, new)
    assert len(node.samples().of("jobs_total")) == 2
    with_old.kill()
    soon(node, lambda: len(node.samples().of("jobs_total")) == 1)
    assert node.samples().value("jobs_total", queue="q", tenant="t") == 1
    with_new.kill()


OTHERS = {
    "histogram": (
        'shmetrics.Histogram("jobs", "Jobs", ["queue"], buckets=[1]).labels("q").observe(0.5)',
        {"jobs_count{queue=q}": 1},
        1,
    ),
    "gauge": (
        'shmetrics.Gauge("jobs", "Jobs", multiprocess_mode="livesum").set(3)',
        {"jobs{}": 3},
        0,
    ),
    "calls": (
        """
call = shmetrics.Calls("jobs", "Jobs", ["method"]).labels("m")
try:
    with call():
        raise KeyError
except KeyError:
    pass
""",
        {
            "jobs_invocation_start_total{method=m}": 1,
            "jobs_invocation_end_total{method=m}": 1,
            "jobs_exception_total{exception=KeyError,method=m}": 1,
        },
        2,
    ),
}


@pytest.mark.parametrize("restarts", [False, True], ids=["at once", "after a restart"])
@pytest.mark.parametrize("type", OTHERS)
def test_a_type_that_somebody_has_is_refused_and_heals(
    node: Node, type: str, restarts: bool
) -> None:
    """Check that refused events count as unbound, and later ones are kept once the name is free."""
    code, expected, unbound = OTHERS[type]
    node.start()
    old = service(node, 'shmetrics.Counter("jobs", "Jobs").inc()')
    new = service(node, code)
    assert node.samples().value("jobs_total") == 1
    assert node.samples().value("shmetrics_unbound_total") == unbound
    said = f"jobs: type {type} contradicts counter, which -c (pid {old.pid}) has"
    assert said in node.log
    assert [lane["refused"] for lane in node.lanes()] == [{}, {"conflict": 1}]
    if restarts:
        restart(node)
    old.kill()
    soon(node, lambda: [lane["refused"] for lane in node.lanes()] == [{}])
    new.go()
    new.until("recorded")
    found = node.samples()
    assert shown(found, expected) == expected
    assert found.of("jobs_total") == {}
    assert found.value("shmetrics_unbound_total") == unbound
    assert found.value("shmetrics_refused_families_total", reason="conflict") == 1
    new.kill()


def test_another_type_takes_over_from_the_dead(node: Node) -> None:
    node.start()
    node.run('shmetrics.Counter("jobs", "Jobs").inc()')
    node.until_no_lane()
    node.run('shmetrics.Gauge("jobs", "Jobs", multiprocess_mode="sum").set(7)')
    found = node.samples()
    assert found.value("jobs") == 7
    assert found.of("jobs_total") == {}


def test_the_pages_methods_have_both_shapes(node: Node) -> None:
    """Check that open calls are listed with the labels that each has."""
    node.start()
    call = "shmetrics.Calls('rpc_client', 'Calls', {labels}, buckets={buckets}).labels({values})"
    codes = [
        call.format(labels=["method"], buckets=[1], values="'m'"),
        call.format(labels=["method", "topic"], buckets=[1, 2], values="'m', ''"),
    ]
    processes = []
    for code in codes:
        process = node.emitter(
            f"call = {code}\nwith call(): pass\ntoken = call.start()\npause('recorded')"
        )
        process.until("recorded")
        processes.append(process)
    [method] = json.loads(node.get("/api/v1/methods"))
    assert (method["started"], method["ended"], method["in_flight"]) == (4, 2, 2)
    assert sum(method["buckets"]) == 2
    assert method["bounds"] == [1, 2]
    assert [list(call["labels"]) for call in node.calls()] == [["method"], ["method", "topic"]]
    for process in processes:
        process.kill()
