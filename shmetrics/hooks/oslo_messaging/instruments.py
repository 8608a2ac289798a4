# SPDX-License-Identifier: Apache-2.0
"""The families of this hook, as functions from labels to calls and counts.

This is the only module of the hook that uses the emitter. If the emitter cannot be loaded, every
label set gets `NoCall`, and the real driver works as if the URL named it alone.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from shmetrics.hooks.oslo_messaging.failures import failed

__all__ = ["Call", "Instruments", "NoCall", "load"]


class Call(Protocol):
    """A series of a family of calls."""

    def start(
        self,
        exemplar: dict[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Any: ...

    def end(self, token: Any, exception: str | None = None) -> Any: ...


Labels: TypeAlias = Mapping[str, str]
Instrument: TypeAlias = Callable[[Labels], Call]
Count: TypeAlias = Callable[[Labels], object]


class NoCall:
    """A call that records nothing."""

    def start(
        self,
        exemplar: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> None: ...

    def end(self, token: None, exception: str | None = None) -> None: ...


def _no_count(labels: Labels) -> None: ...


@dataclass(frozen=True, slots=True)
class Instruments:
    """The function of each family from label values to `Call`; it adds the label ``process``.

    Those of the last two families count one event.
    """

    rpc_client: Instrument
    rpc_server: Instrument
    notification_client: Instrument
    notification_server: Instrument
    expected_exception: Count = _no_count
    undeliverable_reply: Count = _no_count


def load() -> Instruments:
    """Return the families of the emitter, or of `NoCall` if it cannot be loaded. Never raises."""
    try:
        return _from_emitter()
    except Exception as error:
        failed(error)
        nothing = NoCall()
        return Instruments(*(lambda labels: nothing,) * 4)


def _from_emitter() -> Instruments:
    from shmetrics import rpc
    from shmetrics.emitter.instruments import calls_of
    from shmetrics.emitter.process import process_name
    from shmetrics.oslo_families import NOTIFICATION_CLIENT, NOTIFICATION_SERVER

    sent, received = calls_of(NOTIFICATION_CLIENT), calls_of(NOTIFICATION_SERVER)
    process = process_name()
    return Instruments(
        rpc_client=lambda labels: rpc.client_call(**labels),
        rpc_server=lambda labels: rpc.server_call(**labels),
        notification_client=lambda labels: sent.labels(**labels, process=process),
        notification_server=lambda labels: received.labels(**labels, process=process),
        expected_exception=lambda labels: _expected().labels(**labels, process=process).inc(),
        undeliverable_reply=lambda labels: _undeliverable().labels(**labels, process=process).inc(),
    )


@functools.cache
def _expected() -> Any:
    from shmetrics import Counter
    from shmetrics.oslo_families import RPC_SERVER

    return Counter(
        "oslo_messaging_rpc_server_expected_exception",
        "Exceptions that a method may raise, which are no failures",
        [*RPC_SERVER.label_names, "exception"],
    )


@functools.cache
def _undeliverable() -> Any:
    from shmetrics import Counter
    from shmetrics.oslo_families import RPC_SERVER

    return Counter(
        "oslo_messaging_rpc_server_undeliverable_reply",
        "Replies that were dropped, because their client is gone",
        RPC_SERVER.label_names,
    )
