# SPDX-License-Identifier: Apache-2.0
"""The real driver, which a URL names after the ``+``."""

import copy
from typing import Any, Final

from oslo_messaging import InvalidTransportURL
from stevedore.driver import DriverManager

__all__ = ["real_driver"]

_NAMESPACE: Final = "oslo.messaging.drivers"


def real_driver(conf: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the driver named after the first ``+`` of *url*'s scheme, made as oslo.messaging does.

    The driver gets a copy of the URL without the part before the ``+``: some drivers read the
    scheme. The other arguments are passed on unchanged.

    Raises:
        InvalidTransportURL: *url* names no real driver.
        Exception: whatever the loading and the construction of the driver raise.
    """
    ours, _, scheme = url.transport.partition("+")
    while scheme.startswith(f"{ours}+"):  # named twice, and counted once
        scheme = scheme.removeprefix(f"{ours}+")
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
