# SPDX-License-Identifier: Apache-2.0
"""Both ways in which a message goes out: the real driver is told what it would be told alone."""

import inspect
from typing import Any

import oslo_messaging
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_messaging._drivers.amqpdriver import AMQPDriverBase
from oslo_messaging._drivers.base import BaseDriver

from shmetrics.hooks.oslo_messaging._messages import Recorder, rpc_sent_key
from shmetrics.hooks.oslo_messaging.sending import sender

from .conftest import Recording

TARGET = oslo_messaging.Target(topic="compute")
MESSAGE = {"method": "build"}
NAMES = tuple(inspect.signature(BaseDriver.send).parameters)[4:]  # what follows the message


class ByName:
    """A driver with the contract's parameters."""

    def send(
        self,
        target: Any,
        ctxt: Any,
        message: Any,
        wait_for_reply: Any = None,
        timeout: Any = None,
        call_monitor_timeout: Any = None,
        retry: Any = None,
        transport_options: Any = None,
    ) -> Any:
        return {name: value for name, value in locals().items() if name != "self"}


class OfAny:
    """A driver that takes what there is."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


class Older:
    """A driver of a contract with fewer parameters."""

    def send(
        self, target: Any, ctxt: Any, message: Any, wait_for_reply: Any = None, timeout: Any = None
    ) -> Any:
        return wait_for_reply, timeout


def measured(real: Any) -> tuple[Any, Recording]:
    """Return a sender through `real`, and its recordings."""
    recording = Recording()
    calls = Recorder(rpc_sent_key, lambda key: recording.instrument("f")({}))
    return sender(real, calls), recording


REALS = pytest.mark.parametrize(
    "real", [ByName(), OfAny(), Older()], ids=["by name", "of any", "older"]
)


@REALS
@given(st.data())
def test_the_real_driver_is_told_what_it_would_be_alone(real: Any, data: Any) -> None:
    """Check any values, by position and by name, some of them left out; or the error of the
    real driver."""
    values = st.none() | st.booleans() | st.integers()
    args = data.draw(st.lists(values, max_size=6))
    kwargs = data.draw(st.dictionaries(st.sampled_from((*NAMES, "unknown")), values))

    def outcome(send: Any) -> Any:
        try:
            return send(TARGET, {}, MESSAGE, *args, **kwargs)
        except TypeError:
            return TypeError

    send, recording = measured(real)
    assert outcome(send) == outcome(real.send)
    assert len(recording.starts) == len(recording.ends)


@REALS
def test_the_labels_of_a_call_are_found_wherever_they_are(real: Any) -> None:
    recording = Recording()
    call = recording.instrument("f")({})
    calls = Recorder(rpc_sent_key, lambda key: call)
    send = sender(real, calls)
    send(TARGET, {}, MESSAGE, True, 60)
    send(TARGET, {}, MESSAGE, timeout=60, wait_for_reply=True)
    send(TARGET, {}, MESSAGE, True, timeout=60)
    assert list(calls) == [rpc_sent_key(TARGET, MESSAGE, True, 60)]
    send(TARGET, {}, MESSAGE)
    assert list(calls)[1:] == [rpc_sent_key(TARGET, MESSAGE, None, None)]


def test_a_driver_of_the_contract_is_sent_to_by_name() -> None:
    """Check oslo.messaging's drivers; one with other parameters gets its arguments as they
    come."""

    class Rabbit(AMQPDriverBase):  # type: ignore[misc]
        def __init__(self) -> None: ...

    for real, by_name in ((ByName(), True), (Rabbit(), True), (OfAny(), False), (Older(), False)):
        send, _ = measured(real)
        assert ("timeout" in inspect.signature(send).parameters) is by_name


def test_a_driver_that_does_not_say_what_it_takes() -> None:
    class Silent:
        send = dict  # has no signature

    send, _ = measured(Silent())
    assert "timeout" not in inspect.signature(send).parameters
