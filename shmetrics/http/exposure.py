# SPDX-License-Identifier: Apache-2.0
"""Who can come to where the server listens, in words: said at the start, so that nobody finds out
later."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from shmetrics.config.address import Address
from shmetrics.http.access_rules import Rules


def describe(address: Address, rules: Rules) -> str:
    """Where it listens, for whom, and what a client has to bring. address: as it was bound."""
    host = ipaddress.ip_address(address.host)
    if host.is_loopback:
        where = "this node only"
    elif host.is_unspecified:
        where = f"every interface, port {address.port}"
    else:
        where = f"the network at {address}"
    return f"{where}; {wanted(rules)}"


def wanted(rules: Rules) -> str:
    """What a client has to bring."""
    brings = [name for name, there in rules.brings().items() if there]
    return ", ".join(brings) or "no TLS, no passwords"


def warnings(address: Address, rules: Rules) -> Iterator[str]:
    """What somebody who listens to the network may not have meant."""
    if ipaddress.ip_address(address.host).is_loopback:
        return
    brings = rules.brings()
    if not (brings["passwords"] or brings["client certificates"]):
        yield (
            f"{address}: whoever reaches this node can read all of its metrics; name a "
            "--web-config with passwords or client certificates, or listen on 127.0.0.1"
        )
    if brings["passwords"] and not brings["TLS"]:
        yield (
            f"{address}: passwords cross the network for everybody to read; add tls_server_config "
            f"to {rules.file.path}"
        )
