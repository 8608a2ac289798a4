# SPDX-License-Identifier: Apache-2.0
"""Notifications through real drivers and oslo.messaging's public API."""

from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest

from .conftest import Recording

SENT = {
    "exchange": "openstack",
    "topic": "notifications",
    "priority": "info",
    "event_type": "instance.create",
    "version": "2.0",
}
RECEIVED = {key: value for key, value in SENT.items() if key != "version"}


class Ear:
    """An endpoint that handles everything, except that it asks once for 'again' once more."""

    def __init__(self) -> None:
        self.again = [oslo_messaging.NotificationResult.REQUEUE]

    def info(self, ctxt: Any, publisher: str, event: str, payload: Any, metadata: Any) -> Any:
        return self.again.pop() if event == "again" and self.again else None

    error = info


@pytest.fixture
def transport(conf: Any, url: str, recording: Recording) -> Iterator[Any]:
    transport = oslo_messaging.get_notification_transport(conf, url)
    yield transport
    transport.cleanup()


@pytest.fixture
def listen(transport: Any) -> Iterator[Callable[..., None]]:
    listeners: list[Any] = []

    def listen(*targets: Any, batch: int = 0) -> None:
        arguments: tuple[Any, ...] = (transport, list(targets), [Ear()])
        if batch:
            listener = oslo_messaging.get_batch_notification_listener(
                *arguments, batch_size=batch, batch_timeout=1
            )
        else:
            listener = oslo_messaging.get_notification_listener(*arguments, allow_requeue=True)
        listener.start()
        listeners.append(listener)

    yield listen
    for listener in listeners:
        listener.stop()
        listener.wait()


def notifier(transport: Any, topic: str = "notifications", driver: str = "messagingv2") -> Any:
    return oslo_messaging.Notifier(transport, "nova-api", driver=driver, topics=[topic])


def test_two_notifications_on_both_sides(transport: Any, listen: Any, recording: Recording) -> None:
    listen(oslo_messaging.Target(topic="notifications"))
    notifier(transport).info({}, "instance.create", {"id": 1})
    notifier(transport, driver="messaging").error({}, "instance.delete", {"id": 2})
    second = {"priority": "error", "event_type": "instance.delete"}
    assert recording.ended("notification_client") == [
        (SENT, None),
        ({**SENT, **second, "version": "1.0"}, None),
    ]
    received = recording.settled("notification_server", 2)
    assert sorted(received, key=str) == sorted(
        [(RECEIVED, None), ({**RECEIVED, **second}, None)], key=str
    )


def test_one_listener_on_two_topics(
    transport: Any, listen: Any, recording: Recording, url: str
) -> None:
    """Check Rabbit, which knows the topic of a message, and the fake driver, whose label is
    empty."""
    listen(oslo_messaging.Target(topic="notifications"), oslo_messaging.Target(topic="versioned"))
    notifier(transport).info({}, "instance.create", {})
    notifier(transport, "versioned").info({}, "instance.create", {})
    received = [labels["topic"] for labels, _ in recording.settled("notification_server", 2)]
    known = ["notifications", "versioned"] if "kombu" in url else ["", ""]
    assert sorted(received) == known


def test_a_priority_that_no_endpoint_hears(
    transport: Any, listen: Any, recording: Recording
) -> None:
    listen(oslo_messaging.Target(topic="notifications"))
    for n in range(5):
        message = {"priority": f"STRANGE{n}", "event_type": f"e{n}", "publisher_id": "p"}
        target = oslo_messaging.Target(topic="notifications.info")
        transport._send_notification(target, {}, message, version=2.0)
    unknown = {**RECEIVED, "priority": "__unknown__", "event_type": "__unknown__"}
    assert recording.settled("notification_server", 5) == [(unknown, None)] * 5


def test_a_batch_is_as_many_calls(transport: Any, recording: Recording, listen: Any) -> None:
    listen(oslo_messaging.Target(topic="notifications"), batch=3)
    for _ in range(3):
        notifier(transport).info({}, "instance.create", {})
    assert recording.settled("notification_server", 3) == [(RECEIVED, None)] * 3


def test_a_requeued_notification_is_received_again(
    transport: Any, listen: Any, recording: Recording
) -> None:
    listen(oslo_messaging.Target(topic="notifications"))
    notifier(transport).info({}, "again", {})
    again = {**RECEIVED, "event_type": "again"}
    assert recording.settled("notification_server", 2) == [(again, None)] * 2
