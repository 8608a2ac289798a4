# SPDX-License-Identifier: Apache-2.0
"""MongoDB: commands as spans and as calls. pymongo is real; the server is a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from osprofiler import notifier, profiler
from osprofiler.drivers.base import get_driver
from pymongo import monitoring

from shmetrics.hooks import mongodb as hook
from tests.hooks.osprofiler.conftest import shm
from tests.nodes.node import Node, node
from tests.servers.mongodb import MongoDB

from .heard import KEY, Heard, bytes_of, compiled, counted, heard, kept, stack

__all__ = ["compiled", "heard", "node", "shm"]

SECRET = "a-very-secret-value"


@pytest.fixture(autouse=True)
def disabled() -> Iterator[None]:
    yield
    hook.disable()


@pytest.fixture
def server() -> Iterator[MongoDB]:
    server = MongoDB()
    yield server
    server.stop()


def client(server: MongoDB) -> Any:
    return pymongo.MongoClient(server.url, retryReads=False, retryWrites=False)


def test_it_is_off_until_it_is_enabled(node: Node, server: MongoDB) -> None:
    node.start()
    node.run(
        f"""
        import shmetrics.hooks
        shmetrics.Counter("there", "The process records").inc()
        assert "pymongo" not in sys.modules
        import pymongo, osprofiler.profiler, osprofiler.notifier
        from shmetrics.hooks import mongodb as ours
        said = []
        osprofiler.notifier.set(said.append)
        osprofiler.profiler.init("key")
        with pymongo.MongoClient("{server.url}") as client:
            client.admin.command("ping")
        assert not said and not pymongo.monitoring._LISTENERS.command_listeners
        """
    )
    assert not node.samples().names("mongodb")


def test_commands_are_spans_and_calls(shm: Node, server: MongoDB, compiled: bool) -> None:
    notifier.set(get_driver("shm://", service="zaqar").notify)
    hook.enable(False)
    trace: Any = profiler.init(KEY)
    with client(server) as store, profiler.Trace("wsgi"):
        store.zaqar.messages.insert_one({"body": 1})
        assert list(store.zaqar.messages.find({"body": 1})) == []
    wsgi, *spans = kept(shm, trace.get_base_id())
    assert {(span["name"], span["parent_id"]) for span in spans} == {("mongodb", wsgi["trace_id"])}
    said = [span["start_info"]["mongodb"] for span in spans]
    where = {"database": "zaqar", "collection": "messages"}
    assert said[:2] == [{"command": "insert", **where}, {"command": "find", **where}]
    ends = counted(shm, "mongodb_invocation_end_total", "operation", "database")
    assert ends["insert", "zaqar"] == ends["find", "zaqar"] == 1


def test_calls_need_no_trace(shm: Node, server: MongoDB) -> None:
    hook.enable(False)
    with client(server) as store:
        list(store.a.things.find())
        with pytest.raises(pymongo.errors.OperationFailure):
            list(store.a.failing.find())
        with pytest.raises(pymongo.errors.AutoReconnect):
            list(store.a.gone.find())
        store.a.command(SECRET)
    ends = counted(shm, "mongodb_invocation_end_total", "operation", "database")
    assert ends["find", "a"] == 3
    assert ends["other", "a"] == 1
    assert counted(shm, "mongodb_exception_total", "operation", "exception") == {
        ("find", "OperationFailure"): 1,
        ("find", "AutoReconnect"): 1,
    }
    assert not shm.samples().counted("osprofiler_source_failures_total")


@pytest.mark.parametrize("asked", [False, True])
def test_values_are_kept_only_if_asked_for(shm: Node, server: MongoDB, asked: bool) -> None:
    notifier.set(get_driver("shm://").notify)
    hook.enable(asked)
    trace: Any = profiler.init(KEY)
    with client(server) as store:
        list(store.a.things.find({"name": SECRET}))
        with pytest.raises(pymongo.errors.OperationFailure):
            list(store.a.failing.find({"name": SECRET}))
    shm.samples()
    failed = [span for span in kept(shm, trace.get_base_id()) if "etype" in span["stop_info"]]
    assert [span["stop_info"]["etype"] for span in failed] == ["OperationFailure"]
    assert (SECRET in str(failed)) is asked
    assert (SECRET.encode() in bytes_of(shm)) is asked


def test_tasks_that_take_turns_in_one_thread(heard: Heard, server: MongoDB) -> None:
    hook.enable(True)
    before = stack()

    async def task(store: Any, number: int) -> None:
        assert await store.a.things.find({"number": number}).to_list() == []
        with pytest.raises(pymongo.errors.OperationFailure):
            await store.a.failing.find({"number": number}).to_list()

    async def main() -> None:
        store: Any
        async with pymongo.AsyncMongoClient(server.url, retryReads=False) as store:
            await asyncio.gather(*(task(store, number) for number in range(10)))

    asyncio.run(main())
    spans = [s for s in heard.spans() if s.start_info["mongodb"]["command"] == "find"]
    assert len(spans) == 20
    assert all(span.stop_info is not None and span.parent == before[-1] for span in spans)
    for span in spans:  # each ended with its own error
        said = span.start_info["mongodb"]
        assert (span.error is not None) is (said["collection"] == "failing")
        if span.error:
            number = said["statement"].partition("'number': ")[2][0]
            assert f"'number': {number}" in (span.stop_info or {})["message"]
    assert stack() == before


def test_enable_is_for_clients_made_later_and_disable_for_all(
    heard: Heard, server: MongoDB
) -> None:
    with client(server) as earlier:
        hook.enable(False)
        hook.enable(False)
        earlier.a.command("ping")
        assert not heard
        with client(server) as later:
            later.a.command("ping")
            assert heard.names() == ["mongodb-start", "mongodb-stop"]
            hook.disable()
            later.a.command("ping")
    hook.disable()
    assert len(heard) == 2
    assert not monitoring._LISTENERS.command_listeners


def test_commands_that_never_end_are_bounded(
    heard: Heard, server: MongoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "MOST_OPEN", 3)
    hook.enable(False)
    (listener,) = monitoring._LISTENERS.command_listeners
    for number in range(5):
        started: Any = monitoring.CommandStartedEvent(
            {"find": "things"}, "a", number, ("h", 1), number
        )
        listener.started(started)
    assert [span.stop_info is None for span in heard.spans()] == [False] * 2 + [True] * 3
    hook.disable()  # and not when it is collected as garbage, among the spans of something else
    assert all(span.stop_info is not None for span in heard.spans())
