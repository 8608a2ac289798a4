# SPDX-License-Identifier: Apache-2.0
"""RPC through real drivers and oslo.messaging's public API: every label of both sides."""

import threading
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import oslo_messaging
import pytest

from shmetrics.hooks.oslo_messaging._messages import client_timeout_seconds
from tests.servers.patience import until

from .conftest import Recording

pytestmark = pytest.mark.slow  # these wait for the end of connections and servers

CAST = {
    "call_type": "cast",
    "exchange": "openstack",
    "topic": "compute",
    "namespace": "",
    "version": "",
    "server": "",
    "fanout": "",
    "method": "build",
    "timeout": "",
}
CALL = {**CAST, "call_type": "call", "timeout": "60"}
SERVED = {
    "exchange": "openstack",
    "topic": "compute",
    "server": "host-a",
    "endpoint": "Compute",
    "namespace": "",
    "version": "",
    "method": "build",
}


class DiskFull(Exception):
    """An exception of a module that clients may or may not be allowed to rebuild."""


class Compute:
    def build(self, ctxt: Any, name: str = "") -> str:
        return name

    def fail(self, ctxt: Any) -> None:
        raise DiskFull("no space")

    def fail_plainly(self, ctxt: Any) -> None:
        raise ValueError("not so")

    @oslo_messaging.expected_exceptions(DiskFull)  # type: ignore[untyped-decorator]
    def fail_expectedly(self, ctxt: Any) -> None:
        raise DiskFull("no space")


class Quota:
    target = oslo_messaging.Target(namespace="admin", version="2.7")

    def usage(self, ctxt: Any) -> int:
        return 7

    build = usage  # found only under its own namespace and version


@pytest.fixture
def client(transport: Any) -> Any:
    return oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="compute"))


def test_a_call_is_measured_on_both_sides(client: Any, serve: Any, recording: Recording) -> None:
    serve([Compute()])
    assert client.call({}, "build", name="a") == "a"
    # The server's end is recorded before its answer is sent, so there is nothing to wait for.
    assert recording.ended("rpc_client") == [(CALL, None)]
    assert recording.ended("rpc_server") == [(SERVED, None)]


def test_two_calls_have_their_own_labels(client: Any, serve: Any, recording: Recording) -> None:
    serve([Quota(), Compute()])
    prepared = client.prepare(namespace="admin", version="2.1", server="host-a", timeout=2.5)
    assert prepared.call({}, "usage") == 7
    client.call({}, "build", name="b")
    client.call({}, "build", name="c")

    usage = {"namespace": "admin", "version": "2.1", "method": "usage"}
    first = {**CALL, **usage, "server": "host-a", "timeout": "2.5"}
    assert recording.ended("rpc_client") == [(first, None), (CALL, None), (CALL, None)]
    first = {**SERVED, **usage, "endpoint": "Quota"}
    assert recording.ended("rpc_server") == [(first, None), (SERVED, None), (SERVED, None)]


def test_instruments_are_made_once_per_label_set(
    client: Any, serve: Any, recording: Recording
) -> None:
    serve([Compute()])
    for _ in range(5):
        client.call({}, "build")
    assert recording.made == 2  # one on each side


def test_an_exchange_may_come_from_the_target_or_from_the_configuration(
    conf: Any, url: str, recording: Recording, tmp_path: Path
) -> None:
    path = tmp_path / "service.conf"
    path.write_text("[DEFAULT]\ncontrol_exchange = nova\n")
    conf([], project="shmetrics", default_config_files=[str(path)])
    transport = oslo_messaging.get_rpc_transport(conf, url)
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="t"))
    client.cast({}, "m")
    client.prepare(exchange="cinder").cast({}, "m")
    transport.cleanup()
    exchanges = [labels["exchange"] for labels in recording.started("rpc_client")]
    assert exchanges == ["nova", "cinder"]


def test_a_cast_is_served_like_a_call(client: Any, serve: Any, recording: Recording) -> None:
    serve([Compute()])
    client.cast({}, "build", name="a")
    assert recording.ended("rpc_client") == [(CAST, None)]
    assert recording.settled("rpc_server", 1) == [(SERVED, None)]


def test_a_fanout_cast_is_one_sent_and_one_received_by_each_server(
    client: Any, serve: Any, recording: Recording
) -> None:
    serve([Compute()], server="host-a")
    serve([Compute()], server="host-b")
    client.prepare(fanout=True).cast({}, "build")
    client.prepare(fanout=False).cast({}, "other")
    assert recording.ended("rpc_client") == [
        ({**CAST, "fanout": "True"}, None),
        ({**CAST, "fanout": "False", "method": "other"}, None),
    ]
    received = [labels for labels, _ in recording.settled("rpc_server", 3)]
    built = [labels["server"] for labels in received if labels["method"] == "build"]
    assert sorted(built) == ["host-a", "host-b"]


def test_an_exception_has_one_name_on_both_sides(
    client: Any, serve: Any, recording: Recording
) -> None:
    """Check fake://, which hands the exception over, and others, which send a RemoteError or
    rebuild it."""
    serve([Compute()])
    for method in ("fail", "fail_expectedly"):
        with pytest.raises((DiskFull, oslo_messaging.RemoteError)):
            client.call({}, method)
    with pytest.raises(ValueError, match="not so"):
        client.call({}, "fail_plainly")
    raised = ["DiskFull", "DiskFull", "ValueError"]
    assert [exception for _, exception in recording.ended("rpc_client")] == raised
    failed = ["DiskFull", None, "ValueError"]
    assert [exception for _, exception in recording.ended("rpc_server")] == failed
    answered = {**SERVED, "method": "fail_expectedly", "exception": "DiskFull"}
    assert recording.counted == [("expected_exception", answered)]


def test_an_exception_that_the_client_may_rebuild_keeps_its_name(
    conf: Any, recording: Recording
) -> None:
    transport = oslo_messaging.get_rpc_transport(
        conf, "shmetrics+kombu+memory://", allowed_remote_exmods=[DiskFull.__module__]
    )
    server = oslo_messaging.get_rpc_server(
        transport, oslo_messaging.Target(topic="t", server="s"), [Compute()]
    )
    server.start()
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="t"))
    with pytest.raises(DiskFull) as caught:
        client.call({}, "fail")
    server.stop()
    server.wait()
    transport.cleanup()
    assert type(caught.value).__name__ == "DiskFull_Remote"  # what oslo.messaging makes of it
    assert [exception for _, exception in recording.ended("rpc_client")] == ["DiskFull"]


def test_a_method_that_no_endpoint_has(client: Any, serve: Any, recording: Recording) -> None:
    serve([Compute()])
    for n in range(5):
        with pytest.raises((oslo_messaging.NoSuchMethod, oslo_messaging.RemoteError)):
            client.call({}, f"absent-{n}")
    with pytest.raises((oslo_messaging.UnsupportedVersion, oslo_messaging.RemoteError)):
        client.prepare(version="9.0").call({}, "build")
    unknown = {**SERVED, "endpoint": "", "namespace": "", "version": "", "method": "__unknown__"}
    assert recording.ended("rpc_server") == [
        *[(unknown, "NoSuchMethod")] * 5,
        (unknown, "UnsupportedVersion"),
    ]


def test_names_that_each_process_makes_anew(client: Any, serve: Any, recording: Recording) -> None:
    for _ in range(3):
        name = str(uuid.uuid4())
        serve([Compute()], server=name)
        client.prepare(server=name).call({}, "build")
    named = {"server": "__uuid__"}
    assert recording.ended("rpc_client") == [({**CALL, **named}, None)] * 3
    assert recording.ended("rpc_server") == [({**SERVED, **named}, None)] * 3


def test_a_call_that_times_out_ends_on_both_sides(
    client: Any, serve: Any, recording: Recording, url: str
) -> None:
    answer = threading.Event()

    class Slow:
        def build(self, ctxt: Any) -> None:
            answer.wait(20)

    serve([Slow()])
    with pytest.raises(oslo_messaging.MessagingTimeout):
        client.prepare(timeout=1).call({}, "build")
    assert recording.ended("rpc_client") == [({**CALL, "timeout": "1"}, "MessagingTimeout")]
    assert recording.ended("rpc_server") == []  # still open: it hangs
    assert recording.started("rpc_server") == [{**SERVED, "endpoint": "Slow"}]
    # rabbit's driver sends the timeout along, the fake one does not
    assert ("rpc_server", 1.0 if "kombu" in url else None) in recording.timeouts
    answer.set()
    assert recording.settled("rpc_server", 1) == [({**SERVED, "endpoint": "Slow"}, None)]


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ({}, None),
        (None, None),
        (SimpleNamespace(_raw_message=None), None),
        (SimpleNamespace(_raw_message=SimpleNamespace(properties=[])), None),
        (SimpleNamespace(_raw_message=SimpleNamespace(properties={})), None),
        (SimpleNamespace(_raw_message=SimpleNamespace(properties={"expiration": "soon"})), None),
        (SimpleNamespace(_raw_message=SimpleNamespace(properties={"expiration": ["1"]})), None),
        (SimpleNamespace(_raw_message=SimpleNamespace(properties={"expiration": "2500"})), 2.5),
    ],
)
def test_the_timeout_of_a_client_is_read_where_there_is_one(
    message: Any, seconds: float | None
) -> None:
    assert client_timeout_seconds(SimpleNamespace(message=message)) == seconds


def test_calls_from_many_threads(client: Any, serve: Any, recording: Recording) -> None:
    serve([Compute()])
    callers = [threading.Thread(target=client.call, args=({}, "build")) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert recording.ended("rpc_client") == [(CALL, None)] * 8
    until(lambda: len(recording.ended("rpc_server")) == 8, lambda: recording, 20)
