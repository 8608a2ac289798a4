# SPDX-License-Identifier: Apache-2.0
"""The real driver that a URL names after the ``+``, alone."""

import copy
from typing import Any, Final

from oslo_messaging import InvalidTransportURL
from stevedore.driver import DriverManager

__all__ = ["real_driver"]

_NAMESPACE: Final = "oslo.messaging.drivers"


def real_driver(conf: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the driver named after the first ``+`` of *url*'s scheme, made as oslo.messaging does.

    It gets a URL of its own whose scheme does not name us: some drivers read it. Raises what its
    loading and construction raise, and `InvalidTransportURL` if *url* names none.
    """
    ours, _, scheme = url.transport.partition("+")
    if not scheme:
        raise InvalidTransportURL(
            url, f"{ours}:// names no driver to measure; write {ours}+rabbit://… instead"
        )
    real_url = copy.copy(url)
    real_url.transport = scheme
    return DriverManager(
        _NAMESPACE,
        scheme.partition("+")[0],
        invoke_on_load=True,
        invoke_args=(conf, real_url, *args),
        invoke_kwds=kwargs,
    ).driver
