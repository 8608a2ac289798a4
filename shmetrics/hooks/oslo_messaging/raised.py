# SPDX-License-Identifier: Apache-2.0
"""The name under which an exception is counted.

It is the name of the class that was raised first, at the server for example. So one failure has one
name on the client and on the server, whatever the client's ``allowed_remote_exmods``:

- an exception that oslo.messaging may not rebuild reaches the client as `RemoteError`: its
  ``exc_type`` is counted, because "RemoteError" would say nothing;
- one that it rebuilds gets a class of its own, ``<name>_Remote`` in ``<module>_Remote``: the
  ending is dropped;
- any other (`MessagingTimeout`, `MessageDeliveryFailure`, `ValueError`) counts under its own name.
"""

from oslo_messaging import RemoteError

__all__ = ["name_of_failure", "name_of_raised"]

_REMOTE = "_Remote"


def name_of_raised(error: BaseException) -> str:
    """Return the class name to count for *error*, as the caller of the driver saw it."""
    if isinstance(error, RemoteError):
        remote = getattr(error, "exc_type", None)
        if isinstance(remote, str) and remote:
            return remote
    kind = type(error)
    if kind.__name__.endswith(_REMOTE) and kind.__module__.endswith(_REMOTE):
        return kind.__name__[: -len(_REMOTE)]
    return kind.__name__


def name_of_failure(failure: object) -> str | None:
    """Return the class name to count for the *failure* of a reply, None for a reply without one.

    A server hands over what ``sys.exc_info()`` gave it; the driver's contract also allows the
    exception itself.
    """
    error = failure[1] if isinstance(failure, tuple) and len(failure) > 1 else failure
    return name_of_raised(error) if isinstance(error, BaseException) else None
