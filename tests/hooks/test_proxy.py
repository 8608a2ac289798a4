# SPDX-License-Identifier: Apache-2.0
"""A proxy is its object; a recorder is a bounded cache."""

import copy
import weakref

import pytest

from shmetrics.hooks.oslo_messaging import recorder
from shmetrics.hooks.oslo_messaging.proxy import Proxy

from .conftest import Recording


def test_a_recorder_is_bounded(recording: Recording) -> None:
    instrument = recording.instrument("f")
    calls = recorder.Recorder(lambda value: (value,), lambda key: instrument({"key": str(key[0])}))
    for number in range(recorder.LIMIT * 2 + 1):
        recorder.end(calls.start(number))
        assert len(calls) <= recorder.LIMIT
    assert recording.made == recorder.LIMIT * 2 + 1
    assert recording.ended("f")[-1] == ({"key": str(recorder.LIMIT * 2)}, None)


def test_a_recorder_keeps_no_megabyte(recording: Recording) -> None:
    instrument = recording.instrument("f")
    calls = recorder.Recorder(lambda *key: key, lambda key: instrument({"method": key[0]}))
    for method in ("x" * 1_000_000, "short"):
        for _ in range(2):
            recorder.end(calls.start(method, "1.0", None))
    assert list(calls) == [("short", "1.0", None)]
    assert len(recording.ended("f")) == 4


def test_a_proxy_is_its_object_in_what_it_does_not_override() -> None:
    class Real:
        public = 1

    real = Real()
    proxy = Proxy(real)
    assert isinstance(proxy, Real)
    assert weakref.ref(proxy)() is proxy
    assert "public" in dir(proxy)
    assert repr(real) in repr(proxy)
    with pytest.raises(TypeError):
        proxy.__class__ = Proxy


def test_a_proxy_without_its_object_does_not_search_forever() -> None:
    with pytest.raises(AttributeError):
        copy.copy(Proxy.__new__(Proxy)).anything
