# SPDX-License-Identifier: Apache-2.0
"""The listening socket, bound at the start, so that a wrong address is known at once."""

from __future__ import annotations

import socket

from shmetrics.config.address import Address
from shmetrics.errors import ShmetricsError


def bind(address: Address) -> socket.socket:
    """Open a listening socket that does not block.

    Raises:
        ShmetricsError: One line: the address cannot be had, and why.
    """
    everywhere = not address.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (address.host, address.port), family=family, dualstack_ipv6=everywhere
        )
    except OSError as error:
        # create_server adds the address to what the system says, in words of its own.
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise ShmetricsError(
            f"{address}: {reason[:1].lower()}{reason[1:]}; choose another address with --listen"
        ) from None
    listener.setblocking(False)
    return listener
