# SPDX-License-Identifier: Apache-2.0
"""The endpoint of a server that a message will be dispatched to.

The dispatcher chooses the endpoint in the middle of the call, after the start of the call was
recorded with its labels. So the choice is repeated here, from public attributes: the callback of a
listener is a method of the server, a server has a ``dispatcher``, a dispatcher has ``endpoints``
and an ``access_policy``, an endpoint may have a ``target``. The caller keeps the result per method,
so this does not run for each call.

If a later oslo.messaging changes these attributes, the endpoint is the empty string.
"""

import functools
from types import FunctionType, MethodType
from typing import Any, Final

from shmetrics.hooks.oslo_messaging.labels import priority_of

__all__ = ["endpoint_name", "is_heard"]

_MOST_WRAPPERS: Final = 100


def endpoint_name(callback: Any, namespace: Any, version: Any, method: Any) -> str | None:
    """Return the name of the class that answers a method.

    That is the class of the method itself, and not of an object that stands in front of it, as
    services have them to count or to guard calls.

    Args:
        callback: what the server gave to its listener.
        namespace: the message's own, as are version and method.

    Returns:
        None: no endpoint answers. "": there is no way to know.
    """
    try:
        dispatcher = callback.__self__.dispatcher
        for endpoint in dispatcher.endpoints:
            if (
                _accepts(getattr(endpoint, "target", None), namespace, version)
                and (found := getattr(endpoint, method, None)) is not None
                and dispatcher.access_policy.is_allowed(endpoint, method)
            ):
                answers = _owner(found, endpoint)
                return (answers if isinstance(answers, type) else type(answers)).__name__
    except Exception:
        return ""  # an endpoint's attributes may raise anything; the dispatcher reports it
    return None


def is_heard(callback: Any, priority: Any) -> bool:
    """Return whether an endpoint of a notification listener takes messages of a priority.

    Args:
        callback: what the server gave to its listener.
        priority: the message's own.

    Returns:
        True also if there is no way to know.
    """
    try:
        return priority_of(priority) in callback.__self__.dispatcher.supported_priorities
    except Exception:
        return True


def _owner(found: Any, endpoint: Any) -> Any:
    """Return the object or class whose method is called in the end, looking through wrappers.

    Wrappers are bound methods, partial objects, and functions that name what they wrap, as
    `functools.wraps` has them do. Nothing is called, and nothing of a service's own is asked.

    Args:
        found: the attribute of the endpoint that the dispatcher calls.
        endpoint: the answer if nothing on the way is bound to another object.
    """
    owner = endpoint
    for _ in range(_MOST_WRAPPERS):  # a wrapper may name itself
        if type(found) is MethodType:
            owner, found = found.__self__, found.__func__
        elif type(found) is functools.partial:
            found = found.func
        elif type(found) is FunctionType and "__wrapped__" in found.__dict__:
            found = found.__dict__["__wrapped__"]
        else:
            break
    return owner


def _accepts(target: Any, namespace: Any, version: Any) -> bool:
    """Return whether an endpoint with this *target* (None: the null namespace, 1.0) takes it."""
    if target is None:
        return namespace is None and _compatible("1.0", version)
    return namespace in target.accepted_namespaces and _compatible(target.version or "1.0", version)


def _compatible(implemented: str, wanted: str | None) -> bool:
    """Return whether *implemented* has the major version *wanted*, and at least its minor one."""
    try:
        want = _numbers("1.0" if wanted is None else wanted)
    except (AttributeError, ValueError):
        return False  # the message's, which may be anything
    have = _numbers(implemented)
    return have[0] == want[0] and have[1:] >= want[1:]


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, revision, *_ = (*map(int, version.split(".")), 0, 0)
    return major, minor, revision
