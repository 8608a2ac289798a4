# SPDX-License-Identifier: Apache-2.0
"""The exposure of the server in words, for the log: who can reach it, and must prove what."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from shmetrics.config.address import Address
from shmetrics.http.access_rules import Rules


def describe(address: Address, rules: Rules) -> str:
    """Return in words from where a client can reach the server, and the proofs that it needs.

    Args:
        address: the address, as it was bound.
        rules: the rules in force.
    """
    host = ipaddress.ip_address(address.host)
    if host.is_loopback:
        where = "this node only"
    elif host.is_unspecified:
        where = f"every interface, port {address.port}"
    else:
        where = f"the network at {address}"
    return f"{where}; {demands(rules)}"


def demands(rules: Rules) -> str:
    """Return in words the proofs that a client has to bring."""
    demanded = [name for name, is_demanded in rules.demands().items() if is_demanded]
    return ", ".join(demanded) or "no TLS, no passwords"


def warnings(address: Address, rules: Rules) -> Iterator[str]:
    """Yield a warning for each risk that an operator may not have meant to take."""
    if ipaddress.ip_address(address.host).is_loopback:
        return
    demanded = rules.demands()
    if not (demanded["passwords"] or demanded["client certificates"]):
        yield (
            f"{address}: whoever reaches this node can read all of its metrics; name a "
            "--web-config with passwords or client certificates, or listen on 127.0.0.1"
        )
    if demanded["passwords"] and not demanded["TLS"]:
        yield (
            f"{address}: passwords cross the network for everybody to read; add tls_server_config "
            f"to {rules.file.path}"
        )
