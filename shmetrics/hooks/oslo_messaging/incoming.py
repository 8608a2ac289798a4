# SPDX-License-Identifier: Apache-2.0
"""One incoming message, measured from its receipt to its end.

An end is recorded just before the real message is told, not after: whoever has the answer in hand
finds the end in the figures, and a broker that does not take the answer does not look like a slow
method.

======================  ==========================  ===========================================
what happens            `Request` (RPC)             `Notification`
======================  ==========================  ===========================================
``reply``               the end, with its failure   the end
``requeue``             the end                     the end
``acknowledge``         only if it raises: a        the end
                        server then drops it
message dropped         the end, as `UNANSWERED`    the end, as `UNANSWERED`
======================  ==========================  ===========================================
"""

from operator import attrgetter
from typing import Any, Final

from shmetrics.hooks.oslo_messaging.proxy import Proxy
from shmetrics.hooks.oslo_messaging.raised import name_of_failure, name_of_raised
from shmetrics.hooks.oslo_messaging.recorder import Opened, end

__all__ = ["UNANSWERED", "Incoming", "Notification", "Request"]

#: Counted as the exception of a message that nobody answered before it was thrown away: without
#: it, such a call would stay open for as long as the process lives.
UNANSWERED: Final = "Unanswered"

_set = object.__setattr__


class Incoming(Proxy):
    """A message whose call is *opened*; the first end counts, later ones do nothing."""

    __slots__ = ("_shm_opened",)

    _shm_opened: Opened

    # What a server reads of every message. The proxy's long way to an attribute costs 0.4 µs.
    client_timeout = property(attrgetter("_shm_real.client_timeout"))
    ctxt = property(attrgetter("_shm_real.ctxt"))
    message = property(attrgetter("_shm_real.message"))
    msg_id = property(attrgetter("_shm_real.msg_id"))

    def __init__(self, real: Any, opened: Opened) -> None:
        _set(self, "_shm_real", real)
        _set(self, "_shm_opened", opened)

    def requeue(self, *args: Any, **kwargs: Any) -> Any:
        end_incoming(self)
        return self._shm_real.requeue(*args, **kwargs)

    def reply(self, *args: Any, **kwargs: Any) -> Any:
        failure = args[1] if len(args) > 1 else kwargs.get("failure")
        end_incoming(self, None if failure is None else name_of_failure(failure))
        return self._shm_real.reply(*args, **kwargs)

    def __del__(self) -> None:
        if self._shm_opened is not None:
            end_incoming(self, UNANSWERED)


class Request(Incoming):
    """An RPC message: a call, or a cast, to which servers reply just the same."""

    __slots__ = ()

    def acknowledge(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._shm_real.acknowledge(*args, **kwargs)
        except BaseException as error:
            end_incoming(self, name_of_raised(error))
            raise


class Notification(Incoming):
    """A notification: acknowledged or requeued once its endpoints have seen it."""

    __slots__ = ()

    def acknowledge(self, *args: Any, **kwargs: Any) -> Any:
        end_incoming(self)
        return self._shm_real.acknowledge(*args, **kwargs)


def end_incoming(message: Incoming, exception: str | None = None) -> None:
    """Record the end of *message*, once; *exception* is the class name to count, if any."""
    opened = message._shm_opened
    if opened is not None:
        _set(message, "_shm_opened", None)
        end(opened, exception)
