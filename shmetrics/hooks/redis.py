# SPDX-License-Identifier: Apache-2.0
"""The hook of Redis: commands and pipelines of redis-py's clients, clusters and asyncio included.

redis-py's events are about connections. Its interface for OpenTelemetry reports a command only at
its end, and for metrics alone. So this hook wraps the methods that all commands pass, which have
been the same since redis-py 4. A command is one operation, with its retries and its wait for a
connection. A pipeline is one operation as well, `PIPELINE`, whatever it sends. A message that a
subscriber receives is not an operation.

Clients of Sentinel, clients of several databases and the modules of Redis send their commands
through such a client.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from shmetrics.hooks.redis_commands import COMMANDS, CREDENTIALS, command_of
from shmetrics.hooks.tracing.operations import Operation, Operations, harmless
from shmetrics.hooks.tracing.patch import Patch
from shmetrics.hooks.tracing.switch import Switch

__all__ = ["disable", "enable"]

SOURCE: Final = "redis"

PIPELINE: Final = "PIPELINE"

#: Commands of a pipeline, or arguments of a command, in the info of its span.
MOST_NAMED: Final = 100

#: Attributes of pipelines that hold the queued commands.
_QUEUES: Final = ("command_queue", "_command_queue", "command_stack", "_command_stack")


def enable(arguments: bool) -> None:
    """Measure and trace commands and pipelines, of existing and of new clients.

    Args:
        arguments: put the arguments of commands, and the messages of errors, into spans.

    Raises:
        Exception: whatever makes it impossible, such as ImportError.
    """
    _switch.on(arguments)


def disable() -> None:
    """Stop measuring and tracing. Operations under way end as usual. Never raises."""
    _switch.off()


class _Instrumentation:
    """The methods of redis-py that are wrapped."""

    def __init__(self, arguments: bool) -> None:
        self._arguments = arguments
        self._operations = Operations(
            SOURCE, "Commands of Redis", ("operation",), "redis", arguments
        )
        self._is_over = False
        self._patches = []
        for owner, name, begin in [*self._methods()]:
            around = _around_async if ".asyncio" in owner.__module__ else _around
            self._patches.append(Patch(owner, name, around(begin)))

    def undo(self) -> None:
        """Put the methods back as they were."""
        self._is_over = True
        for patch in reversed(self._patches):
            harmless(SOURCE)(patch.undo)()

    def _methods(self) -> Iterator[tuple[Any, str, Callable[..., Operation | None]]]:
        """Yield each class, the name of a method, and the function that begins its operation."""
        command = harmless(SOURCE)(self._command)
        pipeline = harmless(SOURCE)(self._pipeline)
        for prefix in ("redis.", "redis.asyncio."):
            client = _module(f"{prefix}client")
            cluster = _module(f"{prefix}cluster")
            methods = [
                (client, "Redis", "execute_command", command),
                (client, "PubSub", "execute_command", command),
                # A pipeline that watches a key sends some commands at once.
                (client, "Pipeline", "immediate_execute_command", command),
                (client, "Pipeline", "execute", pipeline),
                (cluster, "RedisCluster", "execute_command", command),
                (cluster, "TransactionStrategy", "_immediate_execute_command", command),
                (cluster, "ClusterPipeline", "execute", pipeline),
            ]
            if prefix == "redis.":  # asyncio's class passes everything on to a PubSub
                methods.append((cluster, "ClusterPubSub", "execute_command", command))
            for module, owner, name, begin in methods:
                if hasattr(module, owner):
                    yield getattr(module, owner), name, begin

    def _command(self, client: Any, args: tuple[Any, ...]) -> Operation | None:
        if self._is_over:
            return None
        name = args[0]
        command = name if type(name) is str and name in COMMANDS else command_of(name)
        quotes = command not in CREDENTIALS
        return Operation(self._operations, (command,), self._info, command, args, quotes=quotes)

    def _pipeline(self, pipeline: Any, args: tuple[Any, ...]) -> Operation | None:
        queued = _found(pipeline, *_QUEUES) or ()
        if self._is_over or not (queued or _found(pipeline, "watching", "_watching")):
            return None  # nothing is sent
        quotes = self._arguments and CREDENTIALS.isdisjoint(
            [command_of(sent[0]) for sent in _sent(queued)]
        )
        return Operation(self._operations, (PIPELINE,), self._pipeline_info, queued, quotes=quotes)

    # ---- what spans say ---------------------------------------------------------------------

    def _info(self, command: str, args: tuple[object, ...]) -> dict[str, Any]:
        said: dict[str, Any] = {"command": command}
        if self._arguments and command not in CREDENTIALS:
            said["arguments"] = [_text(argument) for argument in args[1 : MOST_NAMED + 1]]
        return {"redis": said}

    def _pipeline_info(self, queued: Sequence[Any]) -> dict[str, Any]:
        commands: list[Any] = [
            self._info(command_of(args[0]), args)["redis"] for args in _sent(queued[:MOST_NAMED])
        ]
        if not self._arguments:
            commands = [said["command"] for said in commands]
        return {"redis": {"command": PIPELINE, "count": len(queued), "commands": commands}}


def _module(name: str) -> ModuleType | None:
    """Return a module of redis-py, or None if the installed version does not have it.

    Raises:
        ImportError: redis-py is not installed.
    """
    import redis  # noqa: F401

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        return None


def _found(pipeline: Any, *names: str) -> Any:
    """Return the first of these attributes that is not empty, or None.

    The pipeline of a cluster may do everything through a strategy. Its own attributes are empty
    then.
    """
    for holder in (getattr(pipeline, "_execution_strategy", None), pipeline):
        for name in names:
            found = getattr(holder, name, None)
            if found:
                return found
    return None


def _sent(queued: Sequence[Any]) -> Iterator[tuple[object, ...]]:
    """Yield the arguments of each queued command."""
    for each in queued:
        args = each[0] if isinstance(each, tuple) else each.args
        if args:
            yield tuple(args)


def _text(value: object) -> object:
    """Return bytes as text, which they usually are, and any other value unchanged."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _around(begin: Callable[..., Operation | None]) -> Callable[..., Callable[..., Any]]:
    """Return a decorator of methods: each call is the operation that *begin* returns for it."""

    def around(method: Callable[..., Any]) -> Callable[..., Any]:
        def operation(self: Any, *args: Any, **kwargs: Any) -> Any:
            begun = begin(self, args)
            if begun is None:
                return method(self, *args, **kwargs)
            try:
                result = method(self, *args, **kwargs)
            except BaseException as error:
                begun.end(error)
                raise
            begun.end()
            return result

        return operation

    return around


def _around_async(begin: Callable[..., Operation | None]) -> Callable[..., Callable[..., Any]]:
    """Return the same decorator as _around() for coroutine methods."""

    def around(method: Callable[..., Any]) -> Callable[..., Any]:
        async def operation(self: Any, *args: Any, **kwargs: Any) -> Any:
            begun = begin(self, args)
            if begun is None:
                return await method(self, *args, **kwargs)
            try:
                result = await method(self, *args, **kwargs)
            except BaseException as error:
                begun.end(error)
                raise
            begun.end()
            return result

        return operation

    return around


_switch: Final = Switch(_Instrumentation)
