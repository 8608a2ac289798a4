# SPDX-License-Identifier: Apache-2.0
"""The real driver behind ours: it can do the same, and gets exactly the same calls."""

import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any

import oslo_messaging
import pytest
from oslo_messaging import TransportURL
from oslo_messaging._drivers.base import BaseDriver, IncomingMessage, Listener
from stevedore.driver import DriverManager

from shmetrics.hooks.oslo_messaging import Driver
from shmetrics.hooks.oslo_messaging import real as real_module

from .conftest import Recording

INSTALLED = sorted(
    entry.name
    for entry in importlib.metadata.entry_points(group="oslo.messaging.drivers")
    if entry.name != "shmetrics"
)
PUBLIC = sorted(name for name in dir(BaseDriver) if not name.startswith("_"))
MEASURED = {"send", "send_notification", "listen", "listen_for_notifications"}

pytestmark = pytest.mark.usefixtures("recording")


def teller(name: str) -> Callable[..., Any]:
    """Make a method that remembers its arguments."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.told.append((name, args, kwargs))
        return self.told[-1]

    return method


class Real(BaseDriver):  # type: ignore[misc]
    """A driver that remembers what it was told, with more to it than the contract asks for."""

    prefetch_size = 17

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made_with = args, kwargs
        self.told: list[Any] = []

    require_features = teller("require_features")
    send = teller("send")
    send_notification = teller("send_notification")
    listen = teller("listen")
    listen_for_notifications = teller("listen_for_notifications")
    cleanup = teller("cleanup")
    a_future_method = teller("a_future_method")


@pytest.fixture
def driver(conf: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    class Manager:
        def __init__(self, namespace: str, name: str, **how: Any) -> None:
            assert (namespace, name) == ("oslo.messaging.drivers", "real")
            assert how.pop("invoke_on_load")
            self.driver = Real(*how["invoke_args"], **how["invoke_kwds"])

    monkeypatch.setattr(real_module, "DriverManager", Manager)
    url = TransportURL.parse(conf, "shmetrics+real+odd://u:p@host:1/v?query=1")
    return Driver(conf, url, default_exchange="nova", allowed_remote_exmods=["m"])


def made_of(conf: Any, url: str) -> Any:
    """Return the driver for `url`, or the error instead."""
    try:
        return oslo_messaging.get_rpc_transport(conf, url)._driver
    except Exception as error:
        return error


@pytest.mark.parametrize("name", INSTALLED)
def test_each_installed_driver_loads_as_it_does_alone(conf: Any, name: str) -> None:
    """Check the class, the public attributes and isinstance; or the error."""
    url = f"{name}+memory://" if name == "kombu" else f"{name}://"
    alone, behind = (made_of(conf, prefix + url) for prefix in ("", "shmetrics+"))
    if isinstance(alone, Exception):  # a library that it wants is not installed, say
        assert (type(behind), str(behind)) == (type(alone), str(alone))
        return
    assert isinstance(behind, type(alone))
    assert isinstance(behind, BaseDriver)
    assert set(dir(alone)) <= set(dir(behind))
    for attribute in dir(alone):
        value = inspect.getattr_static(alone, attribute)
        if not attribute.startswith("_") and not callable(value) and attribute != "conf":
            assert getattr(behind, attribute) == getattr(alone, attribute)
    assert vars(behind).keys() == vars(alone).keys()
    for driver in (alone, behind):
        driver.cleanup()


def test_a_driver_that_is_not_installed_fails_as_it_does_alone(conf: Any) -> None:
    with pytest.raises(oslo_messaging.DriverLoadFailure, match="looking for 'nosuch'") as caught:
        oslo_messaging.get_rpc_transport(conf, "shmetrics+nosuch://")
    assert caught.value.driver == "shmetrics+nosuch"


def test_a_url_without_a_real_driver_is_refused_without_its_password(conf: Any) -> None:
    with pytest.raises(oslo_messaging.InvalidTransportURL, match="names no driver") as caught:
        oslo_messaging.get_rpc_transport(conf, "shmetrics://user:secret@host/")
    assert "secret" not in str(caught.value)


def test_the_real_driver_gets_a_url_of_its_own(driver: Any, conf: Any) -> None:
    (real_conf, url), kwargs = driver.made_with
    assert real_conf is conf
    assert str(url) == "real+odd://u:p@host:1/v?query=1"
    assert kwargs == {"default_exchange": "nova", "allowed_remote_exmods": ["m"]}


def test_the_service_keeps_its_own_url(conf: Any) -> None:
    url = TransportURL.parse(conf, "shmetrics+fake://")
    oslo_messaging.get_rpc_transport(conf, url).cleanup()
    assert url.transport == "shmetrics+fake"


@pytest.mark.parametrize("name", sorted({*PUBLIC, "a_future_method"} - {"prefetch_size"}))
def test_every_method_is_told_exactly_what_ours_was(driver: Any, name: str) -> None:
    target = oslo_messaging.Target(topic="t")
    args: tuple[Any, ...] = (target, {}, {"method": "m"}, True, 5, "more")
    if name == "listen_for_notifications":
        args = ([(target, "info")], *args)
    result = getattr(driver, name)(*args, transport_options="these", unknown=1)
    told = (name, args, {"transport_options": "these", "unknown": 1})
    assert driver.told == [told]
    # What is returned is the real driver's own, or stands in for it.
    assert result[:] == told if name not in MEASURED else result.__class__ is tuple


def test_attributes_are_the_real_drivers(driver: Any) -> None:
    assert driver.prefetch_size == 17
    driver.prefetch_size = 3
    driver.anything = "set"
    assert vars(driver)["prefetch_size"] == 3
    assert driver.anything == "set"
    del driver.anything
    assert not hasattr(driver, "anything")
    with pytest.raises(AttributeError, match="nothing"):
        driver.nothing


def test_listeners_and_messages_are_the_real_ones_too(
    conf: Any, serve: Any, transport: Any
) -> None:
    seen: list[Any] = []

    class Dispatch:
        def look(self, ctxt: Any) -> None: ...

    server = serve([Dispatch()])
    assert isinstance(server.listener, Listener)
    dispatch = server.dispatcher.dispatch

    def look_and_dispatch(message: Any) -> Any:
        seen.append(message)
        return dispatch(message)

    server.dispatcher.dispatch = look_and_dispatch
    oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="compute")).call(
        {"request_id": "r"}, "look"
    )
    (message,) = seen
    assert isinstance(message, IncomingMessage)
    assert message.message["method"] == "look"
    assert message.ctxt["request_id"] == "r"
    message.client_timeout = 4
    assert vars(message)["client_timeout"] == 4  # the real one's


def test_the_rabbit_driver_shows_no_connection_and_no_queue() -> None:
    """Check what docs/oslo_messaging.md says: nothing public of it tells of either."""
    from oslo_messaging._drivers.impl_rabbit import RabbitDriver

    more = {name for name in dir(RabbitDriver) if not name.startswith("_")} - set(PUBLIC)
    assert more == {"missing_destination_retry_timeout"}
    assert {name for name in dir(Listener) if not name.startswith("_")} == {
        *("cleanup", "start", "stop"),
    }


def test_oslo_messaging_finds_our_entry_point() -> None:
    manager: Any = DriverManager("oslo.messaging.drivers", "shmetrics")
    assert manager.driver is Driver


def test_a_driver_made_with_positional_arguments(conf: Any, recording: Recording, url: str) -> None:
    driver = Driver(conf, TransportURL.parse(conf, url), "cinder", [])
    driver.send(oslo_messaging.Target(topic="t"), {}, {"method": "m", "args": {}}, False, None)
    (labels,) = recording.started("rpc_client")
    assert labels["exchange"] == "cinder"
    driver.cleanup()
