# SPDX-License-Identifier: Apache-2.0
"""A proxy is its object; a recorder is a bounded cache."""

import copy
import weakref
from typing import Any

import pytest

from shmetrics.hooks.oslo_messaging._messages import LIMIT, Recorder, Request, end
from shmetrics.hooks.oslo_messaging.proxy import Proxy

from .conftest import Recording


def test_a_recorder_is_bounded(recording: Recording) -> None:
    instrument = recording.instrument("f")
    calls = Recorder(lambda value: (value,), lambda key: instrument({"key": str(key[0])}))
    for number in range(LIMIT * 2 + 1):
        end(calls.start(number))
        assert len(calls) <= LIMIT
    assert recording.made == LIMIT * 2 + 1
    assert recording.ended("f")[-1] == ({"key": str(LIMIT * 2)}, None)


def test_a_recorder_keeps_no_megabyte(recording: Recording) -> None:
    instrument = recording.instrument("f")
    calls = Recorder(lambda *key: key, lambda key: instrument({"method": key[0]}))
    for method in ("x" * 1_000_000, "short"):
        for _ in range(2):
            end(calls.start(method, "1.0", None))
    assert list(calls) == [("short", "1.0", None)]
    assert len(recording.ended("f")) == 4


class Real:
    public = 1
    message = "message"


@pytest.mark.parametrize("make", [Proxy, lambda real: Request(real, None)])
def test_a_proxy_is_its_object_in_what_it_does_not_override(make: Any) -> None:
    real = Real()
    proxy = make(real)
    assert isinstance(proxy, Real)
    assert weakref.ref(proxy)() is proxy
    assert "public" in dir(proxy)
    assert repr(real) in repr(proxy)
    proxy.public, proxy.message = 2, "other"
    assert (real.public, real.message, proxy.public, proxy.message) == (2, "other", 2, "other")
    del proxy.public
    assert proxy.public == Real.public
    assert not hasattr(proxy, "nothing")


def test_the_class_of_a_proxy_stays() -> None:
    with pytest.raises(TypeError):
        Proxy(Real()).__class__ = Proxy


def test_a_proxy_without_its_object_does_not_search_forever() -> None:
    with pytest.raises(AttributeError):
        copy.copy(Proxy.__new__(Proxy)).anything
