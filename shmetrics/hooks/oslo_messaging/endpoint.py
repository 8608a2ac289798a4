# SPDX-License-Identifier: Apache-2.0
"""The endpoint of an RPC server that a message will be dispatched to.

The dispatcher chooses the endpoint in the middle of the call, after the start of the call was
recorded with its labels. So the choice is repeated here, from public attributes: the callback of a
listener is a method of the server, a server has a ``dispatcher``, a dispatcher has ``endpoints``
and an ``access_policy``, an endpoint may have a ``target``. The caller keeps the result per method,
so this does not run for each call.

If a later oslo.messaging changes these attributes, the endpoint is the empty string.
"""

from typing import Any

__all__ = ["endpoint_name"]


def endpoint_name(callback: Any, namespace: Any, version: Any, method: Any) -> str:
    """Return the class name of the endpoint that answers *method*, or "".

    *callback* is what the server gave to its listener; *namespace*, *version* and *method* are
    the message's own. "" means that no endpoint answers, or that there is no way to know.
    """
    try:
        dispatcher = callback.__self__.dispatcher
        for endpoint in dispatcher.endpoints:
            if (
                _accepts(getattr(endpoint, "target", None), namespace, version)
                and hasattr(endpoint, method)
                and dispatcher.access_policy.is_allowed(endpoint, method)
            ):
                kind = endpoint if isinstance(endpoint, type) else type(endpoint)
                return kind.__name__
    except Exception:
        return ""  # an endpoint's attributes may raise anything; the dispatcher reports it
    return ""


def _accepts(target: Any, namespace: Any, version: Any) -> bool:
    """Return whether an endpoint with this *target* (None: the null namespace, 1.0) takes it."""
    if target is None:
        return namespace is None and _compatible("1.0", version)
    return namespace in target.accepted_namespaces and _compatible(target.version or "1.0", version)


def _compatible(implemented: str, wanted: str | None) -> bool:
    """Return whether *implemented* has the major version *wanted*, and at least its minor one."""
    have, want = _numbers(implemented), _numbers("1.0" if wanted is None else wanted)
    return have[0] == want[0] and have[1:] >= want[1:]


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, revision, *_ = (*map(int, version.split(".")), 0, 0)
    return major, minor, revision
