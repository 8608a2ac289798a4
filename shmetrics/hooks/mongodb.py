# SPDX-License-Identifier: Apache-2.0
"""The hook of MongoDB: commands of pymongo's clients, by pymongo's monitoring, asyncio included.

pymongo copies its list of listeners into each new client. So enable() works for clients that are
made after it. Such a client keeps the listener, which does nothing after disable().
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

from shmetrics.hooks.tracing.operations import Operation, Operations, harmless
from shmetrics.hooks.tracing.switch import Switch

__all__ = ["disable", "enable"]

SOURCE: Final = "mongodb"

_LOG: Final = logging.getLogger(__name__)

#: Commands that have begun and not ended. A cancelled task never ends its command, so beyond this
#: number the oldest command is ended here.
MOST_OPEN: Final = 1000

#: Characters of a command in the info of its span.
LONGEST_COMMAND: Final = 3000

#: The commands that have a label value of their own: those that a driver or a service sends.
_COMMANDS: Final = """
abortTransaction aggregate bulkWrite buildInfo collMod collStats commitTransaction count create
createIndexes createUser dbStats delete distinct drop dropDatabase dropIndexes dropUser
endSessions explain find findAndModify getLastError getMore getParameter hello insert isMaster
killCursors killOp listCollections listDatabases listIndexes ping refreshSessions
renameCollection replSetGetStatus saslContinue saslStart serverStatus startSession update
validate whatsmyuri
"""
COMMANDS: Final = frozenset(_COMMANDS.split())

#: Commands whose own field names a collection. In other commands that field may hold a value.
_OF_COLLECTIONS: Final = """
aggregate collMod collStats count create createIndexes delete distinct drop dropIndexes find
findAndModify insert killCursors listIndexes renameCollection update validate
"""
OF_COLLECTIONS: Final = frozenset(_OF_COLLECTIONS.split())


def enable(arguments: bool) -> None:
    """Measure and trace the commands of clients that are made from now on.

    Args:
        arguments: put the commands themselves, and the messages of errors, into spans.

    Raises:
        Exception: whatever makes it impossible, such as ImportError.
    """
    _switch.on(arguments)


def disable() -> None:
    """Stop measuring and tracing. Never raises."""
    _switch.off()


class _Instrumentation:
    """The listener at pymongo, and the commands that it has seen begin."""

    def __init__(self, arguments: bool) -> None:
        from pymongo import monitoring

        self._arguments = arguments
        self._operations = Operations(
            SOURCE, "Commands of MongoDB", ("operation", "database"), "mongodb", arguments
        )
        self._open: dict[int, Operation] = {}
        self._lock = threading.Lock()
        self._is_over = False
        instrumentation = self

        class Listener(monitoring.CommandListener):
            @harmless(SOURCE)
            def started(self, event: monitoring.CommandStartedEvent) -> None:
                instrumentation._started(event)

            @harmless(SOURCE)
            def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
                instrumentation._ended(event.request_id)

            @harmless(SOURCE)
            def failed(self, event: monitoring.CommandFailedEvent) -> None:
                instrumentation._failed(event)

        self._listener = Listener()
        monitoring.register(self._listener)
        n_older = _n_clients()
        if n_older:
            _LOG.warning(
                "[profiler] trace_mongodb does not see %d clients of pymongo, which are older than "
                "the switch; have the service make its clients after OSProfiler is initialized",
                n_older,
            )

    def undo(self) -> None:
        """Remove the listener from pymongo, and end the commands under way.

        Clients that exist keep the listener, which is silent. So the ends of their commands will
        not be seen: without this, an operation would end when it is collected as garbage.
        """
        self._is_over = True
        harmless(SOURCE)(self._unregister)()
        with self._lock:
            begun, self._open = self._open, {}
        for operation in begun.values():
            operation.end()

    def _unregister(self) -> None:
        from pymongo import monitoring

        # pymongo has a way to register and none back.
        monitoring._LISTENERS.command_listeners.remove(self._listener)

    # ---- events -----------------------------------------------------------------------------

    def _started(self, event: Any) -> None:
        if self._is_over:
            return
        name = event.command_name
        labels = (name if name in COMMANDS else "other", event.database_name)
        operation = Operation(self._operations, labels, self._info, event)
        with self._lock:
            self._open[event.request_id] = operation
            oldest = next(iter(self._open)) if len(self._open) > MOST_OPEN else None
            forgotten = None if oldest is None else self._open.pop(oldest)
        if forgotten is not None:
            forgotten.end()

    def _failed(self, event: Any) -> None:
        """End a failed command.

        The failure is what the server answered, or pymongo's description of its own exception.
        """
        failure = event.failure
        info = {"message": str(failure.get("errmsg"))} if self._arguments else {}
        self._ended(event.request_id, failure.get("errtype") or "OperationFailure", info)

    def _ended(
        self, request_id: int, error: str | None = None, info: dict[str, Any] | None = None
    ) -> None:
        operation = self._open.pop(request_id, None)
        if operation is not None:
            operation.end(error, info)

    def _info(self, event: Any) -> dict[str, Any]:
        command, name = event.command, event.command_name
        said = {"command": name if name in COMMANDS else "other", "database": event.database_name}
        of = "collection" if name == "getMore" else name
        collection = command.get(of) if of in OF_COLLECTIONS | {"collection"} else None
        if isinstance(collection, str):
            said["collection"] = collection
        if self._arguments:
            said["statement"] = str(command)[:LONGEST_COMMAND]
        return {"mongodb": said}


def _n_clients() -> int:
    """Return the number of clients that this process has, as far as pymongo tells."""
    import pymongo

    kinds = [getattr(pymongo, name, None) for name in ("MongoClient", "AsyncMongoClient")]
    return sum([len(getattr(kind, "_clients", ())) for kind in kinds])


_switch: Final = Switch(_Instrumentation)
