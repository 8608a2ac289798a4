# SPDX-License-Identifier: Apache-2.0
"""Promise: whichever client a service has, each command that reaches a server is said once, by its
name. The server's own monitor is asked what has reached it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis as library
from redis import asyncio as asynchronous
from redis.sentinel import Sentinel

from shmetrics.hooks import redis as hook
from tests.hooks.osprofiler.conftest import clustered, redis
from tests.servers.redis import Redis

from .heard import Heard, compiled, heard

__all__ = ["clustered", "compiled", "heard", "redis"]

#: In each key and channel of a client's: of one slot, and seen in what a monitor shows.
K = "{mine}"

Used: TypeAlias = Callable[[str], None]


@pytest.fixture(autouse=True)
def disabled() -> Iterator[None]:
    yield
    hook.disable()


class Monitor:
    """A monitor of a server: the names of the commands with K in them, in the order of arrival."""

    def __init__(self, server: Redis) -> None:
        self._port = server.port
        self._connection = socket.create_connection(("127.0.0.1", server.port), 30)
        self._lines = self._connection.makefile("r")
        self._connection.sendall(b"MONITOR\r\n")
        assert self._lines.readline() == "+OK\n"

    def seen(self) -> list[str]:
        """End the monitor, and return all that it has seen."""
        with socket.create_connection(("127.0.0.1", self._port), 30) as other:
            other.sendall(b"ECHO all-of-it\r\n")
            found = []
            for line in self._lines:
                if "all-of-it" in line:
                    break
                if K in line:
                    found.append(line.split('"')[1].upper())
        self._lines.close()
        self._connection.close()
        return found


def said(heard: Heard) -> list[str]:
    """Return the names of commands in spans, of those with K in them."""
    names = []
    for span in heard.spans("redis"):
        of = span.start_info["redis"]
        assert span.stop_info is not None
        assert "etype" not in span.stop_info
        if of["command"] == hook.PIPELINE:
            assert of["count"] == len(of["commands"])
        commands = of["commands"] if of["command"] == hook.PIPELINE else [of]
        names += [each["command"] for each in commands if K in str(each.get("arguments"))]
    return names


# ---- what services do with clients --------------------------------------------------------------


def commands(store: Any) -> None:
    store.set(f"{K}a", 1)
    assert int(store.get(f"{K}a")) == 1
    store.execute_command("rpush", f"{K}list", 7)
    store.blpop(f"{K}list", 5)


def pipelines(store: Any, *kinds: dict[str, Any]) -> None:
    for kind in kinds:
        pipeline = store.pipeline(**kind)
        for _ in range(2):  # the same again
            pipeline.get(f"{K}a").incrby(f"{K}n", 2).exists(f"{K}a")
            assert len(pipeline.execute()) == 3
        assert pipeline.execute() == []


def transactions(store: Any, **kind: Any) -> None:
    with store.pipeline(**kind) as pipeline:
        pipeline.watch(f"{K}a")
        assert pipeline.get(f"{K}a")
        pipeline.multi()
        pipeline.set(f"{K}a", 2)
        pipeline.execute()

    def within(pipeline: Any) -> None:
        pipeline.multi()
        pipeline.set(f"{K}a", 3)

    store.transaction(within, f"{K}a")


def subscriptions(store: Any, sharded: bool) -> None:
    with contextlib.closing(store.pubsub()) as subscriber:
        subscriber.subscribe(f"{K}c")
        subscriber.psubscribe(f"{K}*")
        if sharded:
            subscriber.ssubscribe(f"{K}s")
            subscriber.sunsubscribe(f"{K}s")
        subscriber.unsubscribe(f"{K}c")
        store.publish(f"{K}c", "x")


def client(url: str) -> None:
    with library.Redis.from_url(url) as store:
        commands(store)
        pipelines(store, {}, {"transaction": False})
        transactions(store)
        subscriptions(store, True)
        store.json().pipeline().get(f"{K}a").reset()
        store.execute_command(b"LPUSH", f"{K}list", 7)
        with store.client() as single:
            single.get(f"{K}a")


def blocking_pool(url: str) -> None:
    pool = library.BlockingConnectionPool.from_url(url)
    with contextlib.closing(pool), library.StrictRedis(connection_pool=pool) as store:
        commands(store)
        pipelines(store, {})


def cluster(url: str) -> None:
    with library.RedisCluster.from_url(url) as store:
        commands(store)
        pipelines(store, {}, {"transaction": True})
        transactions(store, transaction=True)
        subscriptions(store, True)


async def commands_async(store: Any) -> None:
    await store.set(f"{K}a", 1)
    assert int(await store.get(f"{K}a")) == 1
    await store.execute_command("rpush", f"{K}list", 7)
    await store.blpop(f"{K}list", 5)


async def pipelines_async(store: Any, *kinds: dict[str, Any]) -> None:
    for kind in kinds:
        pipeline = store.pipeline(**kind)
        for _ in range(2):
            pipeline.get(f"{K}a").incrby(f"{K}n", 2).exists(f"{K}a")
            assert len(await pipeline.execute()) == 3
        assert await pipeline.execute() == []


async def transactions_async(store: Any, **kind: Any) -> None:
    async with store.pipeline(**kind) as pipeline:
        await pipeline.watch(f"{K}a")
        assert await pipeline.get(f"{K}a")
        pipeline.multi()
        pipeline.set(f"{K}a", 2)
        await pipeline.execute()


async def subscriptions_async(store: Any) -> None:
    subscriber = store.pubsub()
    await subscriber.subscribe(f"{K}c")
    await subscriber.psubscribe(f"{K}*")
    await subscriber.ssubscribe(f"{K}s")
    await subscriber.sunsubscribe(f"{K}s")
    await subscriber.unsubscribe(f"{K}c")
    await store.publish(f"{K}c", "x")
    await subscriber.aclose()


def client_async(url: str) -> None:
    async def main() -> None:
        store: Any
        async with asynchronous.Redis.from_url(url) as store:
            await commands_async(store)
            await pipelines_async(store, {}, {"transaction": False})
            await transactions_async(store)
            await subscriptions_async(store)

    asyncio.run(main())


def cluster_async(url: str) -> None:
    async def main() -> None:
        store: Any
        async with asynchronous.RedisCluster.from_url(url) as store:
            await commands_async(store)
            await pipelines_async(store, {}, {"transaction": True})
            await transactions_async(store, transaction=True)
            await subscriptions_async(store)

    asyncio.run(main())


@pytest.mark.parametrize("use", [client, blocking_pool, client_async])
def test_each_command_of_a_client_is_said_once(heard: Heard, redis: Redis, use: Used) -> None:
    hook.enable(True)
    monitor = Monitor(redis)
    use(redis.url)
    seen = monitor.seen()
    assert said(heard) == seen
    assert len(seen) > 8


@pytest.mark.parametrize("use", [cluster, cluster_async])
def test_each_command_of_a_cluster_is_said_once(heard: Heard, clustered: Redis, use: Used) -> None:
    hook.enable(True)
    monitor = Monitor(clustered)
    use(clustered.url)
    seen = monitor.seen()
    assert said(heard) == seen
    assert {"WATCH", "EXISTS", "SSUBSCRIBE", "PUBLISH"} <= {*seen}


@pytest.fixture
def sentinel(redis: Redis, tmp_path: Path) -> Iterator[Any]:
    folder = tmp_path / "sentinel"
    folder.mkdir()
    watched = f"sentinel monitor mine 127.0.0.1 {redis.port} 1\n"
    server = Redis(folder, "--sentinel", configuration=watched)
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [("127.0.0.1", server.port)]
    )
    yield sentinel
    for each in sentinel.sentinels:
        each.close()
    server.stop()


def test_each_command_by_way_of_a_sentinel_is_said_once(
    heard: Heard, redis: Redis, sentinel: Any
) -> None:
    hook.enable(True)
    monitor = Monitor(redis)
    with sentinel.master_for("mine") as store:
        commands(store)
        pipelines(store, {})
    sentinel.execute_command("SENTINEL SET", "mine", "auth-pass", "a-password")
    seen = monitor.seen()
    assert said(heard) == seen
    assert len(seen) > 8
    assert "SENTINEL" in [span.start_info["redis"]["command"] for span in heard.spans()]
    assert "a-password" not in str(heard)


def test_each_command_of_several_databases_is_said_once(heard: Heard, redis: Redis) -> None:
    from redis.multidb.client import MultiDBClient
    from redis.multidb.config import DatabaseConfig, MultiDbConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is an experiment of redis-py's
        store: Any = MultiDBClient(MultiDbConfig([DatabaseConfig(1.0, from_url=redis.url)]))
        store.initialize()
    hook.enable(True)
    monitor = Monitor(redis)
    commands(store)
    pipelines(store, {})
    subscriptions(store, False)
    seen = monitor.seen()
    store.close()
    assert said(heard) == seen
    assert {"GET", "EXISTS", "SUBSCRIBE"} <= {*seen}


# ---- what pipelines say -------------------------------------------------------------------------


def test_a_pipeline_says_how_many_it_sends_and_the_first_hundred(
    heard: Heard, clustered: Redis
) -> None:
    hook.enable(False)
    store: Any
    with library.RedisCluster.from_url(clustered.url) as store, store.pipeline() as pipeline:
        for _ in range(150):
            pipeline.get(f"{K}a")
        pipeline.execute()
        store.disconnect_connection_pools()  # a pipeline's own is not ended by close()
    (span,) = [span for span in heard.spans() if span.start_info["redis"]["command"] == "PIPELINE"]
    assert span.start_info["redis"] == {
        "command": "PIPELINE",
        "count": 150,
        "commands": ["GET"] * hook.MOST_NAMED,
    }


def test_an_empty_transaction_that_watches_is_sent(heard: Heard, redis: Redis) -> None:
    hook.enable(False)
    store: Any
    with library.Redis.from_url(redis.url) as store, store.pipeline() as pipeline:
        pipeline.watch(f"{K}a")
        pipeline.execute()
    *_, span = heard.spans()
    assert span.start_info["redis"] == {"command": "PIPELINE", "count": 0, "commands": []}


@pytest.mark.parametrize("name", ["AUTH", " auth", "AUTH\t", "\nAuth", b"AUTH", "AUTH nobody"])
def test_no_way_of_sending_a_password_says_it(heard: Heard, redis: Redis, name: Any) -> None:
    """redis-py takes a name apart at any space, and errors of pipelines quote their command."""
    secret = "a-very-secret-value"
    hook.enable(True)
    store: Any
    with library.Redis.from_url(redis.url) as store:
        with pytest.raises(library.RedisError):
            store.execute_command(name, secret)
        pipeline = store.pipeline()
        pipeline.execute_command(name, secret, "too", "many")
        pipeline.get(f"{K}a")
        with pytest.raises(library.ResponseError, match=secret):
            pipeline.execute()
    assert secret not in str(heard)
    first, second = heard.spans()
    assert first.start_info["redis"] == {"command": "AUTH"}
    assert [each["command"] for each in second.start_info["redis"]["commands"]] == ["AUTH", "GET"]
    assert first.error is not None
    assert second.error is not None
