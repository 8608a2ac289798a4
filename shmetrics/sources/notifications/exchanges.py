# SPDX-License-Identifier: Apache-2.0
"""The exchanges that a broker has, asked for by name, for a listener that hears nothing.

AMQP 0-9-1 has no list of exchanges. It has a declaration that makes nothing, and fails if the
exchange is not there (`exchange.declare` with `passive`). So the names are asked that OpenStack's
services use for their `control_exchange`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, TypeAlias

__all__ = ["KNOWN", "Connect", "connect_as", "exchanges_among", "why_silent"]

#: AMQP's reply to a name that is not there.
_NOT_FOUND: Final = 404

#: The default of oslo.messaging, and the names of services, which most of them set.
_KNOWN: Final = """
openstack aodh barbican blazar ceilometer cinder cloudkitty congress cyborg designate freezer
glance heat ironic ironic-inspector karbor keystone magnum manila masakari mistral monasca murano
neutron nova octavia placement sahara searchlight senlin solum swift tacker trove vitrage watcher
zaqar zun
"""
KNOWN: Final = tuple(_KNOWN.split())

#: Connects to the broker by kombu, for the time of a `with`.
Connect: TypeAlias = Callable[[], AbstractContextManager[Any]]


def connect_as(transport: Any) -> Connect:
    """Return a function that connects as oslo.messaging's driver for RabbitMQ does.

    So TLS, timeouts and several brokers are as its URL has them. Calling it raises whatever that
    driver raises, and AttributeError for any other driver.
    """

    @contextmanager
    def connect() -> Iterator[Any]:
        with transport._driver._get_connection(retry=0) as theirs:
            ours = theirs.connection.connection.clone()  # theirs has a thread for heartbeats
        with ours:
            yield ours

    return connect


def exchanges_among(names: Iterable[str], connection: Any) -> list[str]:
    """Return those of the names that are exchanges. Raises what kombu's connection raises."""
    found = []
    for name in names:
        channel = connection.channel()  # which is closed if there is none of this name
        try:
            channel.exchange_declare(name, "topic", passive=True)
        except connection.channel_errors as error:
            if getattr(error, "reply_code", None) != _NOT_FOUND:
                raise
        else:
            found.append(name)
            channel.close()
    return found


def why_silent(exchanges: Sequence[str], connect: Connect, seconds: float) -> str:
    """Return a line for a listener that has heard nothing. Never raises.

    Args:
        exchanges: the exchanges in which it listens.
        connect: connects to the broker.
        seconds: for how long it has listened.
    """
    try:
        with connect() as connection:
            asked = [name for name in KNOWN if name not in exchanges]
            others = exchanges_among(asked, connection)
    except Exception as error:
        there = f"the broker does not tell which exchanges it has ({type(error).__name__})"
    else:
        there = (
            f"the broker also has {', '.join(others)}: add --exchange for those that should speak"
            if others
            else "the broker has no other exchange with the name of a service"
        )
    return (
        f"nothing came in {seconds:.0f} s from exchange {', '.join(exchanges)}; {there}; "
        "a service speaks if it has [profiler] enabled and connection_string = messaging://, and "
        "works on a traced request"
    )
