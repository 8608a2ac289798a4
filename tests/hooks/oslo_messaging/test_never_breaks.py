# SPDX-License-Identifier: Apache-2.0
"""Failures of shmetrics in a service, which does not notice them: they are only counted."""

import gc
import logging
import subprocess
import sys
import textwrap
from collections import Counter
from typing import Any

import oslo_messaging
import pytest

from shmetrics.hooks.oslo_messaging import failures, instruments
from shmetrics.hooks.oslo_messaging._messages import UNANSWERED, Notification, Request
from shmetrics.hooks.oslo_messaging.listener import Listener
from tests.servers.patience import until

from .conftest import Recording


class Echo:
    def echo(self, ctxt: Any, value: str) -> str:
        return value


class Broken:
    """An emitter that raises at *moment*."""

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def __call__(self, labels: Any) -> "Broken":
        self.fail("labels")
        return self

    def fail(self, moment: str) -> None:
        if moment == self.moment:
            raise RuntimeError(moment)

    def start(self, exemplar: Any = None, timeout_seconds: float | None = None) -> int:
        self.fail("start")
        return 1

    def end(self, token: int, exception: str | None = None) -> None:
        self.fail("end")


def serve_one_of_each(conf: Any) -> None:
    """Serve a call, a cast, a call that raises and a notification, through a driver of ours."""
    transport = oslo_messaging.get_rpc_transport(conf, "shmetrics+fake://")
    target = oslo_messaging.Target(topic="t", server="s")
    server = oslo_messaging.get_rpc_server(transport, target, [Echo()])
    server.start()
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="t"))
    client.cast({}, "echo", value="cast")
    assert client.call({}, "echo", value="call") == "call"
    with pytest.raises(oslo_messaging.NoSuchMethod):
        client.call({}, "absent")

    heard: list[str] = []

    class Ear:
        def info(self, ctxt: Any, publisher: str, event: str, payload: Any, meta: Any) -> None:
            heard.append(event)

    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic="n")], [Ear()]
    )
    listener.start()
    oslo_messaging.Notifier(transport, "p", driver="messaging", topics=["n"]).info({}, "e", {})
    until(lambda: heard == ["e"], lambda: heard, 20)
    for each in (listener, server):
        each.stop()
        each.wait()
    transport.cleanup()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    count: Counter[str] = Counter()
    monkeypatch.setattr(failures, "count", count)
    return count


@pytest.mark.parametrize("moment", ["labels", "start", "end"])
def test_an_emitter_that_raises(
    conf: Any,
    monkeypatch: pytest.MonkeyPatch,
    counted: Counter[str],
    caplog: pytest.LogCaptureFixture,
    moment: str,
) -> None:
    monkeypatch.setattr(
        instruments, "load", lambda: instruments.Instruments(*(Broken(moment),) * 4)
    )
    with caplog.at_level(logging.WARNING, logger=failures.__name__):
        serve_one_of_each(conf)
    # 3 RPCs on 2 sides and a notification on 2 sides: each is counted, the first one is said.
    assert counted == {"RuntimeError": 8}
    assert [record.name for record in caplog.records].count(failures.__name__) == 1


def test_an_emitter_that_cannot_be_loaded(
    conf: Any, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shmetrics.rpc", None)
    monkeypatch.delattr(sys.modules["shmetrics"], "rpc", raising=False)
    serve_one_of_each(conf)
    assert sum(counted.values()) == 1  # once, when the driver was made; not for each message


def test_targets_and_messages_of_another_shape(
    conf: Any, recording: Recording, counted: Counter[str]
) -> None:
    """Check that a message that cannot be read is not measured, but sent."""
    transport = oslo_messaging.get_rpc_transport(conf, "shmetrics+fake://")
    driver = transport._driver
    odd = oslo_messaging.Target(topic="t", server="s", version=["unhashable"])
    driver.send(odd, {}, {"method": "m"})
    driver.send(oslo_messaging.Target(topic="t"), {}, "not a mapping")
    driver.send_notification(oslo_messaging.Target(topic="t"), {}, ["nor this"], 1.0)
    assert counted == {"TypeError": 1, "AttributeError": 2}
    counted.clear()
    transport.cleanup()


class Message:
    """A real message that can be told to fail."""

    def __init__(self, fails: bool = False) -> None:
        self.message = {"method": "m", "event_type": "e"}
        self.fails = fails

    def acknowledge(self) -> None:
        if self.fails:
            raise ConnectionError("gone")

    def reply(self, reply: Any = None, failure: Any = None) -> None:
        self.acknowledge()

    def requeue(self) -> None:
        self.acknowledge()


def opened(recording: Recording) -> Any:
    call = recording.instrument("f")({})
    return call, call.start()


def test_a_request_whose_acknowledge_fails_is_ended(recording: Recording) -> None:
    """Check a request that the server drops then, without a reply."""
    request = Request(Message(fails=True), opened(recording))
    with pytest.raises(ConnectionError):
        request.acknowledge()
    assert recording.ended("f") == [({}, "ConnectionError")]


def test_a_requeued_request_is_ended_once(recording: Recording) -> None:
    request = Request(Message(), opened(recording))
    request.acknowledge()
    assert recording.ended("f") == []
    request.requeue()
    request.reply(None)
    assert recording.ended("f") == [({}, None)]


@pytest.mark.parametrize("kind", [Request, Notification])
def test_a_message_that_nobody_answers_is_ended_when_it_is_dropped(
    recording: Recording, kind: Any
) -> None:
    message = kind(Message(), opened(recording))
    assert recording.open
    del message
    gc.collect()
    assert recording.ended("f") == [({}, UNANSWERED)]


def test_a_reply_that_cannot_be_sent_raises_what_the_real_one_raises(
    recording: Recording,
) -> None:
    request = Request(Message(fails=True), opened(recording))
    with pytest.raises(ConnectionError):
        request.reply("result", failure=(ValueError, ValueError("x"), None))
    assert recording.ended("f") == [({}, "ValueError")]


@pytest.mark.parametrize("kind", [Request, Notification])
def test_what_a_later_contract_says_to_a_message_reaches_it(kind: Any) -> None:
    told: list[Any] = []

    class Later:
        def acknowledge(self, *args: Any, **kwargs: Any) -> None:
            told.append(("acknowledge", args, kwargs))

        def reply(self, *args: Any, **kwargs: Any) -> None:
            told.append(("reply", args, kwargs))

        def requeue(self, *args: Any, **kwargs: Any) -> None:
            told.append(("requeue", args, kwargs))

    message = kind(Later(), None)
    message.acknowledge(1, later=2)
    message.reply("result", None, 3, later=4)
    message.requeue(5, later=6)
    assert told == [
        ("acknowledge", (1,), {"later": 2}),
        ("reply", ("result", None, 3), {"later": 4}),
        ("requeue", (5,), {"later": 6}),
    ]


def test_messages_that_the_server_refuses_are_ended(recording: Recording) -> None:
    """Check messages that a listener hands over when the server's workers are gone already."""

    class Real:
        def start(self, on_incoming_callback: Any) -> None:
            self.callback = on_incoming_callback

    def refuse(messages: list[Any]) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    listener = Listener(Real(), lambda callback: lambda real: Request(real, opened(recording)))
    listener.start(refuse)
    with pytest.raises(RuntimeError, match="cannot schedule"):
        listener.callback([Message(), Message()])
    assert recording.ended("f") == [({}, "RuntimeError")] * 2


def test_an_interrupted_call_is_ended(conf: Any, recording: Recording) -> None:
    """Check a BaseException, which passes through drivers, too: a killed greenlet, a Ctrl-C."""
    transport = oslo_messaging.get_rpc_transport(conf, "shmetrics+fake://")
    driver = transport._driver

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    driver._shm_real.send = interrupted
    driver._shm_real.send_notification = interrupted
    target = oslo_messaging.Target(topic="t")
    with pytest.raises(KeyboardInterrupt):
        driver.send(target, {}, {"method": "m"})
    with pytest.raises(KeyboardInterrupt):
        driver.send_notification(target, {}, {}, 1.0)
    assert [exception for _, _, exception in recording.ends] == ["KeyboardInterrupt"] * 2
    transport.cleanup()


def test_a_broken_build_of_the_emitter_still_leaves_a_driver() -> None:
    """Check a process in which the whole compiled part fails to load."""
    service = """
        import sys, warnings
        warnings.simplefilter("ignore")
        sys.modules["shmetrics._ring"] = None
        import oslo_messaging as om
        from oslo_config import cfg
        cfg.CONF([], default_config_files=[])
        transport = om.get_rpc_transport(cfg.CONF, "shmetrics+fake://")
        om.get_rpc_client(transport, om.Target(topic="t")).cast({}, "m")
        print(transport._driver)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(service)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert "FakeDriver" in ran.stdout
    assert "shmetrics does not measure" in ran.stderr
