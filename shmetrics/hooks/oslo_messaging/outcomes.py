# SPDX-License-Identifier: Apache-2.0
"""Two outcomes of a message at an RPC server: an expected exception, an undeliverable reply.

An exception that its method may raise, by ``expected_exceptions`` or as an ``ExpectedException``,
is an answer and no failure. And a reply may never reach a client, because that is gone.

oslo.messaging says neither in an interface. What it does is seen from here:

- A server catches an exception that is not expected in the function that replies, so there its
  traceback begins. That of an expected one begins where it was declared to be one.
- The rabbit driver keeps the reply queues that it has not found, and drops replies to them. Other
  drivers raise `MessageUndeliverable`, or do not know.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from oslo_messaging import MessageUndeliverable

from shmetrics.hooks.oslo_messaging._messages import rpc_received_key
from shmetrics.hooks.oslo_messaging.failures import failed
from shmetrics.hooks.oslo_messaging.instruments import Instruments, Labels
from shmetrics.hooks.oslo_messaging.proxy import Proxy

__all__ = ["Outcomes", "is_expected"]

#: The attribute of the rabbit driver's listener with the reply queues that are gone, and that of
#: the adapter around a listener, which oslo.messaging's server gets.
_GONE: Final = "_obsolete_reply_queues"
_ADAPTED: Final = "_poll_style_listener"


class Outcomes:
    """Counts the outcomes of the messages of one listener. No method raises.

    Attributes:
        dropped: the ids of messages whose reply the driver has just dropped.
    """

    __slots__ = ("_families", "_labels", "dropped")

    def __init__(self, real: Any, families: Instruments, labels: Callable[[Any], Labels]) -> None:
        """Watch a listener.

        Args:
            real: the real listener.
            families: the families to count in.
            labels: returns the labels of a message's call, from its key.
        """
        self.dropped: set[Any] = set()
        self._families = families
        self._labels = labels
        try:
            listener = getattr(real, _ADAPTED, real)
            gone = getattr(listener, _GONE, None)
            if hasattr(gone, "add") and hasattr(gone, "reply_q_valid"):
                setattr(listener, _GONE, _ReplyQueues(gone, self.dropped))
        except Exception as error:
            failed(error)

    def expects(self, incoming: Any, failure: object, exception: str | None) -> bool:
        """Return whether a failure is an exception that is expected, and count it then.

        Args:
            incoming: the real message.
            failure: what is replied. The function that replies calls this function's caller.
            exception: the name of its class.
        """
        try:
            if exception is None or not is_expected(failure, sys._getframe(1)):
                return False
            labels = self._labels(rpc_received_key(incoming))
            self._families.expected_exception({**labels, "exception": exception})
        except Exception as error:
            failed(error)
            return False
        return True

    def replied(self, incoming: Any, error: BaseException | None = None) -> None:
        """Count a reply that cannot reach its client.

        Args:
            incoming: the real message.
            error: what the driver raised, or None.
        """
        try:
            was_dropped = incoming.msg_id in self.dropped
            self.dropped.discard(incoming.msg_id)
            if was_dropped or isinstance(error, MessageUndeliverable):
                self._families.undeliverable_reply(self._labels(rpc_received_key(incoming)))
        except Exception as problem:
            failed(problem)


def is_expected(failure: object, replying: Any) -> bool:
    """Return whether a failure is an exception that its method may raise.

    Args:
        failure: what a server replies: its ``sys.exc_info()``, or that of an ExpectedException.
        replying: the frame that replies. If it is not oslo.messaging's, nothing is known.
    """
    if not isinstance(failure, tuple) or len(failure) != 3 or failure[2] is None:
        return False
    is_known = str(replying.f_globals.get("__name__")).startswith("oslo_messaging.")
    return is_known and failure[2].tb_frame is not replying


class _ReplyQueues(Proxy):
    """The reply queues that are gone. The driver asks it before each reply, and adds to it."""

    __slots__ = ("_shm_dropped",)

    _shm_dropped: set[Any]

    def __init__(self, real: Any, dropped: set[Any]) -> None:
        super().__init__(real)
        self._shm_dropped = dropped

    def reply_q_valid(self, reply_q: Any, msg_id: Any) -> Any:
        is_valid = self._shm_real.reply_q_valid(reply_q, msg_id)
        if not is_valid:
            self._shm_dropped.add(msg_id)
        return is_valid

    def add(self, reply_q: Any, msg_id: Any) -> Any:
        self._shm_dropped.add(msg_id)
        return self._shm_real.add(reply_q, msg_id)
