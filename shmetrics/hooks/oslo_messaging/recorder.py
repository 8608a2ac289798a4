# SPDX-License-Identifier: Apache-2.0
"""From the raw values of a message to an open call, in one dict lookup.

Making an instrument costs microseconds: label values are formatted, the endpoint is looked for,
the series is interned. So a `Recorder` keeps each `Call` under the raw values from which its
labels are made, and the way of every later message is: one tuple, one lookup, one record.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from shmetrics.hooks.oslo_messaging.failures import failed

__all__ = ["LIMIT", "LONGEST", "Call", "Opened", "Recorder", "end"]

#: Label sets that a recorder keeps. Beyond it the cache starts anew: a service whose methods or
#: timeouts are without number pays for making instruments, not with its memory.
LIMIT: Final = 4096

#: Characters of raw values that are worth keeping. A peer may send a method name of a megabyte.
LONGEST: Final = 2048


class Call(Protocol):
    """A series of a call family, as the emitter gives it."""

    def start(self) -> Any: ...

    def end(self, token: Any, exception: str | None = None) -> Any: ...


#: A call and the token of its start; None where nothing could be recorded.
Opened: TypeAlias = tuple[Call, Any] | None


class Recorder(dict[tuple[Any, ...], Call]):
    """The calls of one family by their raw values. Never raises into the driver.

    *key* makes the raw values, a hashable tuple, from what `start` is given; *make* turns such a
    key into the family's `Call`.
    """

    __slots__ = ("_key", "_make")

    def __init__(self, key: Callable[..., tuple[Any, ...]], make: Callable[[Any], Call]) -> None:
        super().__init__()
        self._key = key
        self._make = make

    def start(self, *raw: Any) -> Opened:
        """Record the start of a call; the result goes to `end`, whichever thread ends it."""
        try:
            call = self[self._key(*raw)]
            return call, call.start()
        except Exception as error:
            failed(error)
            return None

    def __missing__(self, key: tuple[Any, ...]) -> Call:
        call = self._make(key)
        if sum(len(value) for value in key if isinstance(value, (str, bytes))) <= LONGEST:
            if len(self) >= LIMIT:
                self.clear()
            self[key] = call
        return call


def end(opened: Opened, exception: str | None = None) -> None:
    """Record the end of a call that `Recorder.start` opened. Never raises."""
    if opened is None:
        return
    try:
        opened[0].end(opened[1], exception)
    except Exception as error:
        failed(error)
