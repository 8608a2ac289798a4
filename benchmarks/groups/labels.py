# SPDX-License-Identifier: Apache-2.0
"""Very many values of one label, under each kind of label rule."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import world
from benchmarks.contender import Contender, Effort, Group, Timer, in_full
from benchmarks.groups.lanes import processor_s

SERVERS = int(in_full(100_000, 20_000))
LANES = int(in_full(400, 80))
TAKEN_S = 120.0

RULES = {
    "keep": (f"keep: {SERVERS:,} values", "keep = true"),
    "drop": ("drop: one value", "drop = true"),
    "hash": ("hash = 64", "hash = 64"),
    "rewrite": (
        f"rewrite: {SERVERS // 1000} values, by the second pattern",
        "rewrite = [{ match = 'control-.*', replace = 'control' },"
        r" { match = '(compute-\d{3})\d+\.example', replace = '${1}' }]",
    ),
}

# So that all of them may have a series. At each tick a collector reads so many definitions.
CONFIG = """
tick_seconds = 0.2
[store]
max_bytes = 1073741824
max_series_per_family = 200000
[[labels]]
family = "oslo_messaging_rpc_*"
label = "server"
{rule}
"""


def servers() -> list[str]:
    return [f"compute-{n:06}.example" for n in range(SERVERS)]


# ---- one process ---------------------------------------------------------------------------------


def calls() -> Timer:
    """Calls to one server after the other, each by its labels."""
    from shmetrics import rpc

    names = cycle(servers())

    def timer(loops: int) -> float:
        named = list(islice(names, loops))
        begun = perf_counter()
        for server in named:
            with rpc.client_call(method="build", server=server)():
                pass
        return perf_counter() - begun

    return timer


def emitter(rule: str) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with world.collector_process(CONFIG.format(rule=rule)):
            timer = world.register(calls())
            timer(SERVERS)  # what is to be remembered is
            yield timer

    return stage


def emitter_bytes(rule: str) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with world.collector_process(CONFIG.format(rule=rule)):
            timer = world.register(calls())
            timer(1000)  # the ring is touched, and there is a list of names
            before = anonymous_bytes("self")
            for _ in range(SERVERS // 1000):
                timer(1000)
            yield lambda loops: float(max(anonymous_bytes("self") - before, 0))

    return stage


# ---- a collector ---------------------------------------------------------------------------------


def granted(count: int, opened: ExitStack) -> list[Any]:
    """Lanes of the collector, as that many processes would have them."""
    from shmetrics import layout, runtime_dir
    from shmetrics.registration.client import Attempt, Grant
    from shmetrics.registration.protocol import Hello
    from tests.nodes.hostile import LaneFile

    path = f"{runtime_dir.choose()}/register.sock"
    found = []
    for _ in range(count):
        attempt = Attempt(path, Hello(layout.LAYOUT_VERSION, 0, "service"))
        answer = attempt.answer(wait_ns=10_000_000_000)
        if not isinstance(answer, Grant):
            raise RuntimeError(f"no lane: {answer}")
        opened.callback(answer.lane.close)
        found.append(LaneFile(os.dup(answer.lane.fileno())))
        opened.callback(found[-1].close)
    return found


def fill(lanes: list[Any]) -> None:
    """A call to each server, all of them raw in the lanes; the collector may be slower."""
    from shmetrics import layout
    from shmetrics.oslo_families import RPC_CLIENT

    kinds = {name: kind for kind, name in layout.KIND_NAMES.items()}
    named = iter(servers())
    empty = dict.fromkeys(RPC_CLIENT.label_names, "")
    for lane in lanes:
        family = lane.family(RPC_CLIENT)
        for server in islice(named, SERVERS // len(lanes)):
            values = empty | {"method": "build", "server": server}
            series = lane.series(RPC_CLIENT.type, family, *values.values())
            lane.record(kinds["call_start"], series)
            lane.record(kinds["call_end"], series, duration_ns=12_300_000)


def until_taken(lanes: list[Any]) -> None:
    """Looks at the lanes alone: the collector is not asked."""
    from tests.nodes.hostile import HEAD_AT, TAIL_AT

    deadline = time.monotonic() + TAKEN_S
    while any(lane.get(HEAD_AT) != lane.get(TAIL_AT) for lane in lanes):
        if time.monotonic() > deadline:
            raise RuntimeError("the collector does not take what is there")
        time.sleep(0.05)


def scrape() -> dict[str, float]:
    """Return the collector's metrics about itself: its series, and the bytes of its store."""
    from shmetrics import runtime_dir

    url = json.loads(Path(runtime_dir.choose(), "collector.json").read_text())["url"]
    with urllib.request.urlopen(f"{url}/metrics", timeout=TAKEN_S) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.partition("{")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(("shmetrics_series{", "shmetrics_store_bytes{"))
    }


def anonymous_bytes(pid: int | str) -> float:
    """Resident memory of a process that is no file's: neither lanes nor the store."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError("this kernel does not tell anonymous memory apart")


def taken(rule: str, what: str) -> Callable[[], AbstractContextManager[Timer]]:
    """what: processor_s, bytes or series."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with ExitStack() as opened:
            pid = opened.enter_context(world.collector_process(CONFIG.format(rule=rule)))
            lanes = granted(LANES, opened)
            before = processor_s(pid)
            fill(lanes)
            until_taken(lanes)
            found = {"processor_s": processor_s(pid) - before}
            shown = scrape()
            found["series"] = shown["shmetrics_series"]
            found["bytes"] = anonymous_bytes(pid) + shown["shmetrics_store_bytes"]
            yield lambda loops: found[what] * loops

    return stage


# ---- groups --------------------------------------------------------------------------------------

ONE_PROCESS = (
    f"One process that calls {SERVERS:,} servers in turn, each by its labels. It is told of `drop` "
    "and `hash`. Of `keep` and `rewrite` it remembers 50,000 label sets; what comes then counts as "
    "`__overflow__`."
)
ONE_COLLECTOR = (
    f"{LANES} lanes with {SERVERS // LANES} servers each, no two the same and none ruled by its "
    "process: all of that is left to the collector. It runs as a process of its own"
)
TWO_ROUNDS = Effort(rounds=2, values=1, warmups=0, loops=1)
ONE_ROUND = replace(TWO_ROUNDS, rounds=1)


def contenders(
    stage: Callable[[str], Callable[[], AbstractContextManager[Timer]]],
) -> tuple[Contender, ...]:
    return tuple(Contender(key, title, stage(rule)) for key, (title, rule) in RULES.items())


EMITTER = Group(
    "labels-process",
    f"{SERVERS:,} label values: a call in a process",
    ONE_PROCESS,
    "keep",
    contenders(emitter),
    effort=Effort(rounds=3),
)
EMITTER_BYTES = Group(
    "labels-process-memory",
    f"{SERVERS:,} label values: memory of a process",
    "The same process: growth of its anonymous memory from the first thousand servers to the last.",
    "keep",
    contenders(emitter_bytes),
    unit="byte",
    effort=ONE_ROUND,
)
COLLECTOR = Group(
    "labels-collector",
    f"{SERVERS:,} label values: what they cost the collector",
    f"{ONE_COLLECTOR}; its processor time from the first definition until every call is counted.",
    "keep",
    contenders(lambda rule: taken(rule, "processor_s")),
    effort=TWO_ROUNDS,
)
COLLECTOR_BYTES = Group(
    "labels-collector-memory",
    f"{SERVERS:,} label values: memory of the collector",
    f"{ONE_COLLECTOR}; its anonymous memory after a scrape, and what it uses of the store. The "
    "lanes themselves are of the processes.",
    "keep",
    contenders(lambda rule: taken(rule, "bytes")),
    unit="byte",
    effort=ONE_ROUND,
)
SERIES = Group(
    "labels-series",
    f"{SERVERS:,} label values: series",
    f"{ONE_COLLECTOR}; the series that it shows, each as 26 samples or so.",
    "keep",
    contenders(lambda rule: taken(rule, "series")),
    unit="count",
    effort=ONE_ROUND,
)
