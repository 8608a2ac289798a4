# SPDX-License-Identifier: Apache-2.0
"""The endpoint is found as oslo.messaging finds it, or not at all."""

import functools
from types import SimpleNamespace
from typing import Any

import oslo_messaging
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_messaging import Target
from oslo_messaging.rpc import dispatcher as dispatchers

from shmetrics.hooks.oslo_messaging.endpoint import endpoint_name
from shmetrics.hooks.oslo_messaging.labels import rpc_received_labels


class Plain:
    def build(self) -> None: ...
    def _private(self) -> None: ...


class Legacy:
    target = Target(namespace="new", legacy_namespaces=["old", None], version="3.4.1")

    def resize(self) -> None: ...


class Explosive:
    target = Target(namespace="boom")

    @property
    def build(self) -> None:
        raise RuntimeError("build")


def server(*endpoints: Any) -> Any:
    """Make a server, as far as this hook looks into one: the object of a bound callback."""
    dispatcher = oslo_messaging.RPCDispatcher(list(endpoints), None)
    handling = SimpleNamespace(dispatcher=dispatcher)
    return SimpleNamespace(__self__=handling)


NAMESPACES = st.sampled_from([None, "new", "old", "other"])
VERSIONS = st.sampled_from(
    [None, "1.0", "1.1", "2.0", "3.0", "3.4", "3.4.1", "3.4.2", "3.5", "4.0"]
)
METHODS = st.sampled_from(["build", "_private", "resize", "absent"])


@given(NAMESPACES, VERSIONS, METHODS)
def test_the_endpoint_is_the_one_that_oslo_messaging_calls(
    namespace: str | None, version: str | None, method: str
) -> None:
    endpoints = [Plain(), Legacy()]
    callback = server(*endpoints)
    called: list[str | None] = []

    class Noting(oslo_messaging.RPCDispatcher):  # type: ignore[misc]
        def _do_dispatch(self, endpoint: Any, method: str, ctxt: Any, args: Any) -> None:
            called.append(type(endpoint).__name__)

    message = {"method": method, "namespace": namespace, "version": version}
    message = {key: value for key, value in message.items() if value is not None}
    incoming = SimpleNamespace(message=message, ctxt={}, client_timeout=None)
    try:
        Noting(endpoints, None).dispatch(incoming)
    except dispatchers.RPCDispatcherError:
        called.append(None)
    assert [endpoint_name(callback, namespace, version, method)] == called


def test_an_endpoint_may_be_a_class() -> None:
    assert endpoint_name(server(Plain), None, None, "build") == "Plain"


def test_an_endpoint_that_raises_is_nobody() -> None:
    assert endpoint_name(server(Explosive()), "boom", "1.0", "build") == ""


@pytest.mark.parametrize("version", ["latest", 1, "1", "1.x"])
def test_a_version_that_is_none_of_ours_is_nobody_s(version: object) -> None:
    assert endpoint_name(server(Plain()), None, version, "build") in (None, "Plain")
    assert endpoint_name(server(Plain()), None, "latest", "build") is None


class Tracking:
    """Stands in front of a manager, as Nova 34 has it: it makes a function per method."""

    def __init__(self, manager: object) -> None:
        self._manager = manager

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._manager, name)

        @functools.wraps(method)
        def tracked(*_: object) -> None:
            pytest.fail("the service's code was called")

        return tracked if callable(method) else method


class Handing:
    """Hands out methods of a manager as they are, or with an argument in advance."""

    def __init__(self, manager: object, in_advance: bool = False) -> None:
        method = manager.build  # type: ignore[attr-defined]
        self.build = functools.partial(method, 1) if in_advance else method


class Inheriting(Plain):
    @functools.wraps(Plain.build)
    def build(self) -> None: ...  # type: ignore[override]


class OfClass:
    @classmethod
    def build(cls) -> None: ...


def looping() -> Any:
    def build() -> None: ...

    build.__wrapped__ = build  # type: ignore[attr-defined]
    return SimpleNamespace(build=build)


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        (Tracking(Plain()), "Plain"),
        (Tracking(Tracking(Plain())), "Plain"),
        (Handing(Plain()), "Plain"),
        (Handing(Tracking(Plain()), in_advance=True), "Plain"),
        (Inheriting(), "Inheriting"),
        (OfClass(), "OfClass"),
        (Tracking(OfClass), "OfClass"),
        (SimpleNamespace(build=print), "SimpleNamespace"),
        (looping(), "SimpleNamespace"),
    ],
)
def test_it_is_the_class_of_the_method(endpoint: object, name: str) -> None:
    assert endpoint_name(server(endpoint), None, None, "build") == name


def test_what_nobody_answers_has_one_label_set() -> None:
    labels = {
        tuple(rpc_received_labels(key, Target(topic="t", server="s"), "x", None).items())
        for key in [("a", "1", "one"), (None, None, "two"), ("b", "3.4", "three")]
    }
    assert len(labels) == 1
    assert ("method", "__unknown__") in labels.pop()


@pytest.mark.parametrize("moved", ["__self__", "dispatcher", "endpoints", "access_policy"])
def test_a_private_part_that_moved_leaves_the_label_empty(moved: str) -> None:
    callback = server(Plain())
    assert endpoint_name(callback, None, None, "build") == "Plain"
    holder = {
        "__self__": callback,
        "dispatcher": callback.__self__,
        "endpoints": callback.__self__.dispatcher,
        "access_policy": callback.__self__.dispatcher,
    }[moved]
    delattr(holder, moved)
    assert endpoint_name(callback, None, None, "build") == ""
