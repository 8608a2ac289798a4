# SPDX-License-Identifier: Apache-2.0
"""The outcomes of a message beside its call: exceptions that are expected are no failures, and a
reply that reaches nobody is counted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import oslo_messaging
import pytest
from kombu.connection import Connection

from shmetrics.hooks.oslo_messaging.instruments import Instruments, load
from shmetrics.hooks.oslo_messaging.outcomes import Outcomes, is_expected
from tests.nodes.loopback import Loopback, loopback
from tests.servers.patience import until
from tests.servers.rabbitmq import RabbitMQ

from .conftest import Recording

pytestmark = pytest.mark.slow  # these wait for the end of servers

__all__ = ["loopback"]

TOPIC = "outcomes"
CALLED = {"exchange": "openstack", "topic": TOPIC, "server": "host-a", "endpoint": "Endpoint"}
CALLED |= {"namespace": "", "version": ""}


class NotFound(Exception):
    pass


class Broken(Exception):
    pass


class Endpoint:
    """Methods that raise what they may, and what they may not, in each of the ways to say so."""

    @oslo_messaging.expected_exceptions(NotFound, KeyError)  # type: ignore[untyped-decorator]
    def find(self, ctxt: Any) -> None:
        self._search(NotFound)

    @oslo_messaging.expected_exceptions(LookupError)  # type: ignore[untyped-decorator]
    def look_up(self, ctxt: Any) -> None:
        self._search(KeyError)  # a class below the one that is declared

    @oslo_messaging.expected_exceptions(NotFound)  # type: ignore[untyped-decorator]
    def break_down(self, ctxt: Any) -> None:
        self._search(Broken)

    def dispatch(self, ctxt: Any) -> None:
        """Raise as nova's conductor does with whatever an object raises."""
        try:
            self._search(Broken)
        except Exception:
            raise oslo_messaging.ExpectedException() from None

    def fail(self, ctxt: Any) -> None:
        self._search(NotFound)

    def leave(self, ctxt: Any) -> str:
        return "nobody waits"

    def _search(self, error: type[Exception]) -> None:
        try:
            raise ValueError
        except ValueError:
            raise error("not there") from None


@pytest.mark.parametrize("url", ["shmetrics+fake://"])
def test_what_a_method_may_raise_is_no_failure(
    transport: Any, serve: Callable[..., Any], recording: Recording
) -> None:
    serve([Endpoint()], topic=TOPIC)
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=TOPIC))
    raised = {
        "find": "NotFound",
        "look_up": "KeyError",
        "break_down": "Broken",
        "dispatch": "Broken",
        "fail": "NotFound",
        "nothing": "NoSuchMethod",
    }
    for method in raised:
        with pytest.raises(Exception, match=r"not there|nothing"):
            client.call({}, method)
    assert [exception for _, exception in recording.ended("rpc_client")] == [*raised.values()]
    failed = {labels["method"]: exception for labels, exception in recording.ended("rpc_server")}
    assert failed == {
        "find": None,
        "look_up": None,
        "dispatch": None,
        "break_down": "Broken",
        "fail": "NotFound",
        "__unknown__": "NoSuchMethod",
    }
    assert recording.counted == [
        ("expected_exception", {**CALLED, "method": method, "exception": raised[method]})
        for method in ("find", "look_up", "dispatch")
    ]


def failure() -> tuple[Any, Any]:
    """Return the failure that a function catches itself, and its frame."""
    try:
        raise ValueError
    except ValueError:
        return sys.exc_info(), sys._getframe()


def test_a_server_that_is_not_oslo_messagings_has_failures_only() -> None:
    caught, _ = failure()
    ours = sys._getframe()
    theirs = SimpleNamespace(f_globals={"__name__": "oslo_messaging.rpc.server"})
    assert is_expected(caught, theirs)
    assert not is_expected(caught, ours)
    for other in (None, ValueError(), (ValueError, ValueError(), None), ("a", "b")):
        assert not is_expected(other, theirs)


@pytest.mark.parametrize("url", ["shmetrics+fake://"])
def test_an_undeliverable_reply_is_counted_and_raised(
    transport: Any,
    serve: Callable[..., Any],
    recording: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check a driver that raises, as the contract of drivers has it. A call ends all the same."""
    from oslo_messaging._drivers.impl_fake import FakeIncomingMessage

    def reply(*_: Any, **__: Any) -> None:
        raise oslo_messaging.MessageUndeliverable("no route", "exchange", "key", "message")

    monkeypatch.setattr(FakeIncomingMessage, "reply", reply)
    serve([Endpoint()], topic=TOPIC)
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=TOPIC))
    with pytest.raises(oslo_messaging.MessagingTimeout):
        client.prepare(timeout=0.2).call({}, "leave")
    labels = {**CALLED, "method": "leave"}
    assert recording.settled("rpc_server", 1) == [(labels, None)]
    until(lambda: recording.counted, lambda: "nothing is counted", 20)
    assert recording.counted == [("undeliverable_reply", labels)]


def test_both_are_families_of_the_service(loopback: Loopback) -> None:
    families = load()
    for _ in range(2):
        families.undeliverable_reply({**CALLED, "method": "leave"})
    families.expected_exception({**CALLED, "method": "find", "exception": "NotFound"})
    found = loopback.samples()
    prefix = "oslo_messaging_rpc_server_"
    assert found.sum(f"{prefix}undeliverable_reply_total") == 2
    ((name, labels),) = [key for key in found if key[0] == f"{prefix}expected_exception_total"]
    assert found[name, labels] == 1
    process = dict(labels).pop("process")
    wanted = {**CALLED, "method": "find", "exception": "NotFound", "process": process}
    assert {key: value for key, value in labels if value and key != "hostname"} == {
        key: value for key, value in wanted.items() if value
    }


class Left:
    """An endpoint whose clients leave before it answers."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def leave(self, ctxt: Any) -> str:
        self.begun.release()
        assert self.go.wait(60)
        return "nobody waits"


def test_a_broker_without_the_reply_queue(
    rabbitmq: RabbitMQ, conf: Any, recording: Recording
) -> None:
    """Check both ways in which the rabbit driver drops a reply: it finds no queue, or it knows
    from before that there is none. The calls of the server end, without a failure."""
    url = f"shmetrics+{rabbitmq.url}?kombu_missing_consumer_retry_timeout=0"
    served, sent = (oslo_messaging.get_rpc_transport(conf, url) for _ in range(2))
    endpoint, target = Left(), oslo_messaging.Target(topic=TOPIC, server="host-a")
    server = oslo_messaging.get_rpc_server(served, target, [endpoint])
    server.start()
    client = oslo_messaging.get_rpc_client(sent, target, timeout=0.5)
    with ThreadPoolExecutor(3) as clients:
        calls = [clients.submit(client.call, {}, "leave") for _ in range(3)]
        for _ in calls:
            assert endpoint.begun.acquire(timeout=60)
        for call in calls:
            with pytest.raises(oslo_messaging.MessagingTimeout):
                call.result()
    reply_queue = sent._driver._reply_q
    sent.cleanup()
    broker = rabbitmq.url.replace("rabbit:", "amqp:")
    with Connection(broker) as connection:  # type: ignore[no-untyped-call]
        connection.channel().queue_delete(reply_queue)
    endpoint.go.set()
    labels = {**CALLED, "endpoint": "Left", "method": "leave"}
    until(lambda: len(recording.counted) >= 3, lambda: recording, 60)
    server.stop()
    server.wait()
    served.cleanup()
    assert recording.counted == [("undeliverable_reply", labels)] * 3
    assert recording.ended("rpc_server") == [(labels, None)] * 3
    assert {exception for _, exception in recording.ended("rpc_client")} == {"MessagingTimeout"}


class ReplyQueues:
    """The reply queues that are gone, as the rabbit driver keeps them."""

    def __init__(self) -> None:
        self.gone: list[str] = []

    def reply_q_valid(self, reply_q: str, msg_id: str) -> bool:
        return reply_q not in self.gone

    def add(self, reply_q: str, msg_id: str) -> None:
        self.gone.append(reply_q)


def test_replies_to_queues_that_are_gone_are_counted_one_by_one() -> None:
    counted: list[Any] = []
    nothing: Any = None
    families = Instruments(nothing, nothing, nothing, nothing, nothing, counted.append)
    poll = SimpleNamespace(_obsolete_reply_queues=ReplyQueues())
    outcomes = Outcomes(
        SimpleNamespace(_poll_style_listener=poll), families, lambda key: {"method": key[2]}
    )

    def reply(number: str, queue: str, is_gone: bool = False) -> None:
        gone: Any = poll._obsolete_reply_queues
        if gone.reply_q_valid(queue, number) and is_gone:
            gone.add(queue, number)
        if outcomes.dropped:
            outcomes.replied(SimpleNamespace(msg_id=number, message={"method": f"m{number}"}))

    reply("1", "a")
    reply("2", "b", is_gone=True)
    reply("3", "a")
    reply("4", "b")
    assert counted == [{"method": "m2"}, {"method": "m4"}]
    assert not outcomes.dropped
    assert poll._obsolete_reply_queues.gone == ["b"]  # all else is the driver's own


@pytest.mark.usefixtures("recording")
def test_a_driver_without_such_queues_is_left_alone() -> None:
    nothing: Any = None
    for real in (SimpleNamespace(), SimpleNamespace(_obsolete_reply_queues=7)):
        Outcomes(real, Instruments(nothing, nothing, nothing, nothing), lambda key: {})
        assert getattr(real, "_obsolete_reply_queues", 7) == 7
