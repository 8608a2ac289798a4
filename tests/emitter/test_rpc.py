# SPDX-License-Identifier: Apache-2.0
"""The labels of RPC calls, given by keyword: each arrives under its name, as what it says."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from typing import Any

import pytest

from shmetrics import rpc
from shmetrics.emitter.process import process_name
from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER
from tests.emitter.recording import dropped
from tests.nodes.loopback import Loopback

SIDES = {"oslo_messaging_rpc_client": rpc.client_call, "oslo_messaging_rpc_server": rpc.server_call}
NAMES = {
    "oslo_messaging_rpc_client": RPC_CLIENT.label_names,
    "oslo_messaging_rpc_server": RPC_SERVER.label_names,
}
both = pytest.mark.parametrize("family", SIDES)


class Kind(str, enum.Enum):
    """Equal to a text, and says another."""

    CALL = "call"


VALUES: tuple[Any, ...] = (None, "", "call", Kind.CALL, 60, 60.0, 1, True, False, "1", "None", b"x")


def starts(loopback: Loopback, family: str) -> dict[tuple[tuple[str, str], ...], float]:
    return loopback.samples().of(f"{family}_invocation_start_total")


def test_the_names_are_those_of_oslo_metrics() -> None:
    assert tuple(rpc.client_call.__kwdefaults__ or ()) == RPC_CLIENT.label_names
    assert tuple(rpc.server_call.__kwdefaults__ or ()) == RPC_SERVER.label_names
    assert RPC_CLIENT.label_names == (
        *("call_type", "exchange", "topic", "namespace", "version", "server", "fanout"),
        *("process", "method", "timeout"),
    )
    assert RPC_SERVER.label_names == (
        *("exchange", "topic", "server", "endpoint", "namespace", "version", "method", "process"),
    )


@both
def test_every_label_arrives_under_its_name(loopback: Loopback, family: str) -> None:
    names = NAMES[family]
    SIDES[family](**{name: f"the {name}" for name in names}).start()
    assert starts(loopback, family) == {tuple(sorted((n, f"the {n}") for n in names)): 1}


@both
def test_what_is_left_out_is_empty_but_the_process(loopback: Loopback, family: str) -> None:
    SIDES[family]().start()
    SIDES[family](**dict.fromkeys(NAMES[family])).start()
    empty = dict.fromkeys(NAMES[family], "")
    assert starts(loopback, family) == {
        tuple(sorted((empty | {"process": process_name()}).items())): 1,
        tuple(sorted(empty.items())): 1,
    }


@both
def test_any_values_are_what_they_say(loopback: Loopback, family: str) -> None:
    """Against a twin that writes each value as text, whatever it is equal to."""
    order = random.Random(family)
    wanted: dict[tuple[tuple[str, str], ...], float] = {}
    for _ in range(500):
        given = {name: order.choice(VALUES) for name in ("topic", "version")}
        with SIDES[family](**given)():
            pass
        labels = dict.fromkeys(NAMES[family], "") | {"process": process_name()}
        labels |= {name: "" if value is None else str(value) for name, value in given.items()}
        key = tuple(sorted(labels.items()))
        wanted[key] = wanted.get(key, 0) + 1
    assert starts(loopback, family) == wanted
    assert dropped() == {}


@both
def test_the_same_labels_are_the_same_calls(loopback: Loopback, family: str) -> None:
    call: Callable[..., Any] = SIDES[family]
    assert call(topic="t", method="m") is call(method="m", topic="t", server=None, version="")
    assert call(topic="t", version=1) is call(topic="t", version="1")
    assert call(topic="t", version=1) is not call(topic="t", version=True)


@both
def test_a_label_that_is_none_of_them_is_counted(loopback: Loopback, family: str) -> None:
    with SIDES[family](topic="t", queue="q")():
        pass
    assert starts(loopback, family) == {}
    assert dropped() == {"bad_labels": 1}


@both
def test_a_value_that_says_nothing_is_counted(loopback: Loopback, family: str) -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError

    SIDES[family](topic=Silent()).start()
    assert starts(loopback, family) == {}
    assert dropped() == {"bad_labels": 1}
