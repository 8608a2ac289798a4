# SPDX-License-Identifier: Apache-2.0
"""RPC families, from what stock oslo.messaging reports and from our exposition, to be compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from tests.nodes.samples import Samples
from tests.openstack.telemetry import Telemetry

__all__ = [
    "CLIENT",
    "SERVER",
    "Calls",
    "clients_of",
    "compare",
    "label_sets",
    "reported",
    "servers_of",
]

#: What oslo.metrics and we call the same. Its datagrams leave out exchange and timeout, where these
#: are the defaults, and all processes of a service have one name there.
CLIENT: Final = ("call_type", "topic", "namespace", "version", "server", "fanout", "method")
SERVER: Final = ("topic", "namespace", "method")

#: Calls by the values of some labels.
Calls = Counter[tuple[str, ...]]

UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PREFIX: Final = "oslo_messaging_rpc"


def compare(measured: Telemetry) -> str:
    """Compare what we counted in a run with what stock oslo.messaging reported of the same.

    It reports clients only. At the servers, all that was sent has to be served, once.

    Returns:
        How much it was.
    """
    begun = reported(measured.datagrams, "invocation_start_total")
    ended = reported(measured.datagrams, "invocation_end_total")
    raised = reported(measured.datagrams, "exception_total")
    assert clients_of(measured.samples, "invocation_start_total") == begun
    assert clients_of(measured.samples, "invocation_end_total") == ended + raised
    assert clients_of(measured.samples, "exception_total") == raised
    sent = Calls()
    for labels, n in begun.items():
        sent[tuple(labels[CLIENT.index(name)] for name in SERVER)] += n
    assert servers_of(measured.samples, "invocation_start_total") == sent
    assert servers_of(measured.samples, "invocation_end_total") == sent
    return f"{begun.total()} of {len(sent)} methods: equal on both sides"


def reported(datagrams: Iterable[dict[str, Any]], metric: str, *more: str) -> Calls:
    """Return what datagrams count for `rpc_client_METRIC`, by CLIENT and `more` labels."""
    found = Calls()
    for datagram in datagrams:
        if datagram["name"] == f"rpc_client_{metric}":
            labels = datagram["labels"]
            found[tuple(_text(labels.get(name)) for name in (*CLIENT, *more))] += 1
    return found


def clients_of(samples: Samples, metric: str, *more: str) -> Calls:
    """Return the same of an exposition."""
    return _summed(samples, f"{PREFIX}_client_{metric}", (*CLIENT, *more))


def servers_of(samples: Samples, metric: str) -> Calls:
    """Return what an exposition counts at the servers, by SERVER labels."""
    return _summed(samples, f"{PREFIX}_server_{metric}", SERVER)


def _summed(samples: Samples, name: str, wanted: tuple[str, ...]) -> Calls:
    found = Calls()
    for labels, value in samples.counted(name).items():
        known = dict(labels)
        found[tuple(known.get(label, "") for label in wanted)] += int(value)
    return found


def _text(value: Any) -> str:
    """Return a value of a datagram as our label has it."""
    return "" if value is None else UUID.sub("__uuid__", str(value))


def label_sets(samples: Samples) -> dict[str, tuple[int, int, int]]:
    """Return how many label sets each process has: calls sent, calls served, notifications sent."""
    families = ("rpc_client", "rpc_server", "notification_client")
    sets = [samples.counted(f"oslo_messaging_{each}_invocation_start_total") for each in families]
    found = [Counter(dict(labels)["process"] for labels in each) for each in sets]
    sent, served, notifications = found
    processes = sorted(sent | served | notifications)
    return {each: (sent[each], served[each], notifications[each]) for each in processes}
