# SPDX-License-Identifier: Apache-2.0
"""The function ``send`` that records a call around the real driver's ``send``.

It passes on exactly the arguments that it got. With ``*args, **kwargs`` that works for any driver,
today's and tomorrow's, and costs half a microsecond for packing and unpacking. If the real driver
has the parameters of oslo.messaging's contract, ours has the same by name, and nothing is packed:
an argument that the caller leaves out is None either way.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from shmetrics.hooks.oslo_messaging._messages import Recorder, end, sent_by_name
from shmetrics.hooks.oslo_messaging.raised import name_of_raised

__all__ = ["Send", "sender"]

Send: TypeAlias = Callable[..., Any]


def sender(real: Any, calls: Recorder) -> Send:
    """Return a function that sends through the driver *real* and records in *calls*."""
    by_name: Send = sent_by_name(real, calls)
    return by_name if _parameters(real.send) == _parameters(by_name) else _of_any(real, calls)


def _parameters(send: Send) -> list[tuple[Any, ...]] | None:
    """Return names, kinds and defaults of *send*'s parameters, or None if they are not known."""
    try:
        found = inspect.signature(send).parameters.values()
    except (TypeError, ValueError):
        return None
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


def _of_any(real: Any, calls: Recorder) -> Send:
    def send(target: Any, ctxt: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        wait_for_reply = args[0] if args else kwargs.get("wait_for_reply")
        timeout = args[1] if len(args) > 1 else kwargs.get("timeout")
        opened = calls.start(target, message, wait_for_reply, timeout)
        try:
            reply = real.send(target, ctxt, message, *args, **kwargs)
        except BaseException as error:
            end(opened, name_of_raised(error))
            raise
        end(opened)
        return reply

    return send
