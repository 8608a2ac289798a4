# SPDX-License-Identifier: Apache-2.0
"""Measures each transport of this process, whatever its URL.

It is loaded after oslo.messaging in a process with ``SHMETRICS_OSLO_MESSAGING=1``. Each transport
gets the driver that its URL names, with ours around it. No URL says so: neither a service's
configuration nor what it stores, such as the mappings of Nova's cells.
"""

import functools
from typing import Any

from oslo_messaging import transport

from shmetrics.binding import refusal
from shmetrics.hooks.oslo_messaging.failures import failed

__all__ = ["measure"]


def measure() -> None:
    """Measure each transport that is made from now on. To be called once."""
    if refusal:
        return
    stock = transport.Transport.__init__

    @functools.wraps(stock)
    def init(self: Any, driver: Any, *args: Any, **kwargs: Any) -> None:
        stock(self, _measured(driver), *args, **kwargs)

    transport.Transport.__init__ = init


def _measured(real: Any) -> Any:
    """Return the driver of a transport with ours around it, unless its URL has put that there."""
    from shmetrics.hooks.oslo_messaging.driver import Driver, around

    try:
        return real if type(real) is Driver else around(real)
    except Exception as error:
        failed(error)
        return real
