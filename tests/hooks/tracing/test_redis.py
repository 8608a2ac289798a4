# SPDX-License-Identifier: Apache-2.0
"""Redis: commands and pipelines as spans and as calls, of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis as library
from oslo_config import cfg
from osprofiler import notifier, opts, profiler
from osprofiler.drivers.base import get_driver
from redis import asyncio as asynchronous
from redis import client, cluster
from redis.backoff import NoBackoff
from redis.retry import Retry

from shmetrics.hooks import redis as hook
from shmetrics.hooks.redis_commands import COMMANDS, command_of
from tests.hooks.osprofiler.conftest import clustered, redis, shm
from tests.nodes.node import Node, node
from tests.servers.redis import Redis

from .heard import KEY, Heard, bytes_of, compiled, counted, heard, kept, stack

__all__ = ["clustered", "compiled", "heard", "node", "redis", "shm"]

SECRET = "a-very-secret-value"
CLASSES: tuple[Any, ...] = (
    *(client.Redis, client.Pipeline, cluster.RedisCluster, cluster.ClusterPipeline),
    *(asynchronous.Redis, asynchronous.client.Pipeline),
    *(asynchronous.RedisCluster, asynchronous.cluster.ClusterPipeline),
)

BEFORE = [dict(vars(each)) for each in CLASSES]  # whatever other tests do


@pytest.fixture(autouse=True)
def disabled() -> Iterator[None]:
    yield
    hook.disable()


@pytest.fixture
def store(redis: Redis) -> Iterator[Any]:
    """Yield a client that was made while nothing was enabled."""
    with library.Redis.from_url(redis.url) as store:
        yield store


def test_it_is_off_until_it_is_enabled(node: Node, redis: Redis) -> None:
    node.start()
    node.run(
        f"""
        import shmetrics.hooks
        shmetrics.Counter("there", "The process records").inc()
        assert "redis" not in sys.modules
        import redis, osprofiler.profiler, osprofiler.notifier
        from shmetrics.hooks import redis as ours
        said = []
        osprofiler.notifier.set(said.append)
        osprofiler.profiler.init("key")
        redis.Redis.from_url("{redis.url}").ping()
        assert not said
        """
    )
    assert not node.samples().names("redis")


def test_commands_are_spans_and_calls(shm: Node, store: Any, compiled: bool) -> None:
    notifier.set(get_driver("shm://", service="nova").notify)
    hook.enable(False)
    trace: Any = profiler.init(KEY)
    with profiler.Trace("wsgi"):
        store.set("k", "v")
        assert store.get("k") == b"v"
        store.pipeline().get("k").incrby("n", 2).execute()
    wsgi, *spans = kept(shm, trace.get_base_id())
    assert [span["name"] for span in spans] == ["redis"] * 3
    assert {span["parent_id"] for span in spans} == {wsgi["trace_id"]}
    assert [span["start_info"]["redis"] for span in spans] == [
        {"command": "SET"},
        {"command": "GET"},
        {"command": "PIPELINE", "count": 2, "commands": ["GET", "INCRBY"]},
    ]
    ends = counted(shm, "redis_invocation_end_total", "operation")
    assert ends == {("SET",): 1, ("GET",): 1, ("PIPELINE",): 1}
    exemplars = shm.get("/metrics", "application/openmetrics-text; version=1.0.0").decode()
    assert trace.get_base_id().replace("-", "") in exemplars.replace("-", "")


def test_calls_need_no_trace(shm: Node, store: Any) -> None:
    hook.enable(False)
    store.set("k", "v")
    with pytest.raises(library.ResponseError):
        store.lpush("k", "w")
    store.execute_command("config get", "maxmemory")
    with pytest.raises(library.ResponseError):
        store.execute_command(f"no-such-{SECRET}")
    assert counted(shm, "redis_invocation_end_total", "operation") == {
        ("SET",): 1,
        ("LPUSH",): 1,
        ("CONFIG",): 1,
        ("other",): 1,
    }
    assert counted(shm, "redis_exception_total", "operation", "exception") == {
        ("LPUSH", "ResponseError"): 1,
        ("other", "ResponseError"): 1,
    }
    assert not shm.samples().counted("osprofiler_source_failures_total")


@pytest.mark.parametrize("asked", [False, True])
def test_values_are_kept_only_if_asked_for(shm: Node, store: Any, asked: bool) -> None:
    notifier.set(get_driver("shm://").notify)
    hook.enable(asked)
    trace: Any = profiler.init(KEY)
    store.set(SECRET, SECRET.encode())
    store.pipeline().get(SECRET).execute()
    with pytest.raises(library.ResponseError):
        store.execute_command("NONSENSE", SECRET)  # the server's answer quotes it
    shm.samples()
    assert len(kept(shm, trace.get_base_id())) == 3
    assert (SECRET.encode() in bytes_of(shm)) is asked


def test_no_span_says_a_password(heard: Heard, store: Any) -> None:
    hook.enable(True)
    with pytest.raises(library.AuthenticationError):
        store.execute_command("AUTH", SECRET)
    store.execute_command("CONFIG SET", "requirepass", "")
    assert len(heard.spans()) == 2
    assert "requirepass" not in str(heard)
    assert SECRET not in str([span.start_info for span in heard.spans()])


def test_a_server_that_is_gone_is_an_error(heard: Heard, store: Any) -> None:
    hook.enable(False)
    nobody: Any
    with library.Redis(port=1, retry=Retry(NoBackoff(), 0)) as nobody:
        with pytest.raises(library.ConnectionError):
            nobody.get("k")
        with pytest.raises(library.ConnectionError):
            nobody.pipeline().get("k").execute()
    assert [span.error for span in heard.spans()] == ["redis.exceptions.ConnectionError"] * 2


def test_a_pipeline_that_watches(heard: Heard, store: Any) -> None:
    hook.enable(False)
    with store.pipeline() as pipeline:
        pipeline.execute()  # nothing is sent
        pipeline.watch("k")
        pipeline.get("k")
        pipeline.multi()
        pipeline.set("k", 1)
        pipeline.execute()
    commands = [span.start_info["redis"]["command"] for span in heard.spans()]
    assert commands == ["WATCH", "GET", "PIPELINE"]


def test_tasks_that_take_turns_in_one_thread(heard: Heard, redis: Redis) -> None:
    hook.enable(True)
    before = stack()

    async def task(store: Any, number: int) -> None:
        key = str(number)
        await store.set(key, number)
        assert await store.get(key) == key.encode()
        async with store.pipeline() as pipeline:
            await pipeline.get(key).get(key).execute()
        with pytest.raises(library.ResponseError):
            await store.lpush(key, 1)

    async def main() -> None:
        store: Any
        async with asynchronous.Redis.from_url(redis.url) as store:
            await asyncio.gather(*(task(store, number) for number in range(10)))

    asyncio.run(main())
    spans = [span for span in heard.spans() if "CLIENT" not in str(span.start_info)]
    assert len(spans) == 40
    assert all(span.stop_info is not None and span.parent == before[-1] for span in spans)
    assert sum(span.error is not None for span in spans) == 10
    assert stack() == before


def test_a_task_that_is_cancelled(heard: Heard, redis: Redis) -> None:
    hook.enable(False)

    async def main() -> None:
        store: Any
        async with asynchronous.Redis.from_url(redis.url) as store:
            task = asyncio.ensure_future(store.execute_command("BLPOP", "never", 30))
            while not heard.spans():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    (span,) = heard.spans()
    assert span.error == "asyncio.exceptions.CancelledError"


def test_clusters(heard: Heard, clustered: Redis) -> None:
    async def main() -> None:
        store: Any
        async with asynchronous.RedisCluster.from_url(clustered.url) as store:
            await store.get("k")
            await store.pipeline().get("k").get("l").execute()

    store: Any
    with library.RedisCluster.from_url(clustered.url) as store:
        hook.enable(False)
        store.get("k")
        store.pipeline().get("k").get("l").execute()
    asyncio.run(main())
    said = [span.start_info["redis"] for span in heard.spans()]
    said = [each for each in said if each["command"] in ("GET", "PIPELINE")]
    assert [(each["command"], each.get("count")) for each in said] == [
        ("GET", None),
        ("PIPELINE", 2),
    ] * 2


def test_what_osprofiler_itself_writes_to_redis_is_no_span(
    heard: Heard, redis: Redis, store: Any
) -> None:
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    theirs: Any = get_driver(redis.url, conf=conf)

    def notify(info: dict[str, Any]) -> None:
        heard.append(info)
        theirs.notify(info)

    notifier.set(notify)
    hook.enable(False)
    with profiler.Trace("wsgi"):
        store.get("k")
    assert heard.names() == ["wsgi-start", "redis-start", "redis-stop", "wsgi-stop"]
    hook.disable()
    assert theirs.get_report(stack()[0])["stats"]["redis"]["count"] == 1
    theirs.db.close()


def test_disable_leaves_nothing(heard: Heard, store: Any) -> None:
    hook.enable(True)
    hook.enable(False)
    assert [dict(vars(each)) for each in CLASSES] != BEFORE
    store.get("k")
    hook.disable()
    store.get("k")
    hook.disable()
    assert len(heard.spans()) == 1
    assert [dict(vars(each)) for each in CLASSES] == BEFORE


def test_somebody_else_s_wrapper_around_ours_stays(
    heard: Heard, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.enable(False)
    ours: Any = client.Redis.execute_command
    seen = []

    def theirs(*args: Any, **kwargs: Any) -> Any:
        seen.append(args[1])
        return ours(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(client.Redis, "execute_command", theirs)
        hook.disable()
        store.get("k")
    assert seen == ["GET"]
    assert not heard
    setattr(client.Redis, "execute_command", vars(ours)["__wrapped__"])  # noqa: B010


def test_all_commands_of_this_server_are_known(store: Any) -> None:
    said = {name.decode().upper() for name in store.execute_command("COMMAND LIST")}
    among_servers = {"PSYNC", "SYNC", "REPLCONF", "RESTORE-ASKING", "PFSELFTEST"}
    assert {name for name in said if "|" not in name} - among_servers <= COMMANDS


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("GET", "GET"),
        ("get", "GET"),
        (b"get", "GET"),
        ("CLIENT SETINFO", "CLIENT"),
        ("", "other"),
        (7, "other"),
        (b"\xff", "other"),
        ("X" * 10**6, "other"),
    ],
)
def test_names_of_commands(name: object, command: str) -> None:
    assert command_of(name) == command
