# SPDX-License-Identifier: Apache-2.0
"""Spans of the compiled profiler in the lane, with no dictionary made of them."""

from __future__ import annotations

import socket
import uuid
from typing import Any

import pytest
from osprofiler import notifier, profiler
from osprofiler.drivers.base import get_driver

import shmetrics.osprofiler
from shmetrics import rpc
from shmetrics.hooks.osprofiler import driver
from tests.emitter.recording import dropped
from tests.hooks.osprofiler.both import both
from tests.hooks.osprofiler.process import said_by
from tests.nodes.node import Node
from tests.nodes.samples import OPENMETRICS
from tests.store.test_exemplars import shown

from .conftest import without_times

KEY = "SECRET_KEY"


def ours() -> Any:
    """Make our driver OSProfiler's notifier."""
    made = get_driver("shm://", project="cloud", service="nova", host="h")
    notifier.set(made.notify)
    return made


def without_ids(found: Any, numbers: dict[str, int]) -> Any:
    """Return a report with ids as the numbers in which they come up."""
    if isinstance(found, dict):
        ids = {"trace_id", "parent_id", "base_id"}
        return {
            key: numbers.setdefault(value, len(numbers))
            if key in ids
            else without_ids(value, numbers)
            for key, value in found.items()
        }
    return [without_ids(each, numbers) for each in found] if isinstance(found, list) else found


@profiler.trace_cls("rpc", hide_result=False)
class Service:
    def build(self, name: str, depth: int) -> str:
        with profiler.Trace("db", info={"db": {"statement": "SELECT ü", "params": [1, None, 2.5]}}):
            pass
        with profiler.Trace("long", info={"text": "x" * 10_000}):
            pass
        if depth:
            return self.build(name, depth - 1)
        raise ValueError(f"no {name}")

    def __repr__(self) -> str:
        return "Service()"


def report() -> Any:
    made = ours()
    base_id = profiler.init(KEY, parent_id=str(uuid.uuid4())).get_base_id()
    with (
        profiler.Trace("wsgi", info={"request": {"path": "/v2", "query": ""}}),
        pytest.raises(ValueError, match="no vm"),
    ):
        Service().build("vm", 1)
    profiler.stop()  # there is none
    return without_times(without_ids(made.get_report(base_id), {}))


def test_the_report_is_that_of_osprofilers_own_profiler(
    shm: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    notify = driver.Shm.notify

    def listen(self: driver.Shm, info: dict[str, Any]) -> None:
        told.append(info)
        notify(self, info)

    monkeypatch.setattr(driver.Shm, "notify", listen)
    theirs, compiled = both(report)
    assert compiled == theirs
    assert theirs["stats"]["db"]["count"] == 2
    assert len(told) == 14  # by OSProfiler's own alone


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("host", [socket.gethostname(), "another"])
def test_a_span_with_nothing_to_say_is_two_records(shm: Node, host: str, is_compiled: bool) -> None:
    """Check that the host that OSProfiler adds each time takes no slot if it is the driver's."""
    if is_compiled:
        shmetrics.osprofiler.install()
    made = get_driver("shm://", service="nova", host=host)
    notifier.set(made.notify)
    base_id = profiler.init(KEY).get_base_id()
    with profiler.Trace("db"):
        pass
    (span,) = made.get_report(base_id)["children"]
    assert {event["info"]["host"] for event in raw(span)} == {socket.gethostname()}
    taken = shm.samples()
    slots = taken.counted("shmetrics_events_total").get((("kind", "span_info"),), 0)
    assert slots == (0 if host == socket.gethostname() else 2)
    assert taken.value("shmetrics_events_total", kind="span_start") == 1


def raw(span: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the raw payloads of a span of a report."""
    return [value for key, value in span["info"].items() if key.startswith("meta.raw_payload")]


def test_another_notifier_is_heeded_at_once(shm: Node, compiled: None) -> None:
    made = ours()
    heard: list[dict[str, Any]] = []
    base_id = profiler.init(KEY).get_base_id()
    with profiler.Trace("lane"):
        notifier.set(heard.append)
        with profiler.Trace("list"):
            notifier.set(made.notify)
    assert [payload["name"] for payload in heard] == ["list-start"]
    assert {"lane", "list"} == set(made.get_report(base_id)["stats"])


@pytest.mark.parametrize("base_id", ["1", "\ud800", "x" * 36, 5])
def test_ids_that_are_no_uuids_are_kept_by_the_profiler_and_counted(
    shm: Node, compiled: None, base_id: Any
) -> None:
    ours()
    before = dropped().get("bad_value", 0)
    mine = profiler.init(KEY, base_id)
    with profiler.Trace("wsgi"):
        assert mine.get_base_id() == base_id
        assert shmetrics.osprofiler.current_trace() is None
    assert dropped()["bad_value"] == before + 2


class Unsayable:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("name", [Unsayable(), ["a", "list"]])
def test_a_name_that_is_none_is_counted(shm: Node, compiled: None, name: Any) -> None:
    ours()
    before = dropped().get("bad_value", 0)
    profiler.init(KEY)
    with profiler.Trace(name):
        pass
    assert dropped()["bad_value"] == before + 2


def test_info_may_be_any_mapping(shm: Node, compiled: None) -> None:
    class Mapping(dict[str, Any]):
        pass

    made = ours()
    base_id = profiler.init(KEY).get_base_id()
    with profiler.Trace("wsgi", info=Mapping(path="/v2")):
        pass
    (span,) = made.get_report(base_id)["children"]
    assert span["info"]["meta.raw_payload.wsgi-start"]["info"]["path"] == "/v2"


# ---- calls --------------------------------------------------------------------------------------


def test_a_call_within_a_trace_is_its_exemplar(shm: Node, compiled: None) -> None:
    ours()
    call = rpc.client_call(method="within")
    with call():
        pass
    profiler.init(KEY)
    with profiler.Trace("rpc"):
        trace = shmetrics.osprofiler.current_trace()
        begun = call.start()
    profiler.clean()
    call.end(begun)
    with call():
        pass
    found = shown(shm.get("/metrics", OPENMETRICS).decode())
    seen = [seen for (_, labels), seen in found.items() if ("method", "within") in labels]
    assert trace is not None
    assert [(one.trace, one.span) for one in seen] == [(trace["trace_id"], trace["span_id"])]


def test_a_call_that_is_given_a_trace_keeps_it(shm: Node, compiled: None) -> None:
    ours()
    profiler.init(KEY)
    with rpc.client_call(method="given").traced({"trace_id": "7" * 32}):
        pass
    found = shown(shm.get("/metrics", OPENMETRICS).decode())
    seen = [seen for (_, labels), seen in found.items() if ("method", "given") in labels]
    assert [one.trace for one in seen] == ["7" * 32]


# ---- ids ----------------------------------------------------------------------------------------

IDS = """
import os, sys, warnings
warnings.simplefilter("ignore")
import shmetrics.osprofiler
from osprofiler import profiler
assert shmetrics.osprofiler.install()

def show(n):
    for _ in range(n):
        print(profiler._Profiler("key").get_base_id())

show(1)
sys.stdout.flush()
if sys.argv[1] == "python":
    child = os.fork()
else:  # as a server does that is written in C
    import ctypes
    child = ctypes.PyDLL(None).fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
show(1000)
"""


@pytest.mark.parametrize("fork", ["python", "c"])
def test_ids_are_uuids_and_nobody_else_s(fork: str) -> None:
    """Check a process, its child and another process: no short id of one comes twice."""
    said = said_by(IDS, fork) + said_by(IDS, fork)
    ids = [uuid.UUID(line) for line in said.split()]
    assert [str(id) for id in ids] == said.split()
    assert {(id.version, id.variant) for id in ids} == {(4, uuid.RFC_4122)}
    assert len({id.int & (1 << 64) - 1 for id in ids}) == len({id.int >> 64 for id in ids}) == 4002
