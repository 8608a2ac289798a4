# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC, to a receiver made of the official definitions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Detail
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from shmetrics.destinations.traces.trace_destinations import sender_of
from shmetrics.errors import ConfigError
from shmetrics.forwarding.sender import Outcome, Refused, Sender, TryAgain
from shmetrics.traces.reader import StoredSpan
from tests.servers.misbehaving import Conversation, Misbehaving
from tests.servers.otlp import GrpcReceiver, partial, spans_of
from tests.servers.ports import ReservedPort

from .conftest import id_of, span, wanted


@pytest.fixture
def sender(grpc_receiver: GrpcReceiver) -> Iterator[Sender[StoredSpan]]:
    found = sender_of(wanted(grpc_receiver.url))
    yield found
    found.close()


def test_spans_arrive(grpc_receiver: GrpcReceiver, sender: Sender[StoredSpan]) -> None:
    assert sender.send([span(1), span(2)]) == Outcome()
    assert sender.send([span(3)]) == Outcome()
    found = spans_of(grpc_receiver.requests)
    assert [each.span_id for each in found] == [id_of(n)[8:] for n in (1, 2, 3)]


def test_headers_and_credentials_go_along(grpc_receiver: GrpcReceiver) -> None:
    to = grpc_receiver.url.replace("//", "//user:p%40ss@")
    sender = sender_of(wanted(to, headers={"X-Scope-OrgID": "cloud"}))
    sender.send([span()])
    sender.close()
    (metadata,) = grpc_receiver.metadata
    assert metadata["x-scope-orgid"] == "cloud"
    assert metadata["authorization"] == "Basic dXNlcjpwQHNz"  # user:p@ss


def problem(sender: Sender[StoredSpan]) -> TryAgain | Refused:
    with pytest.raises((TryAgain, Refused)) as raised:
        sender.send([span()])
    assert isinstance(raised.value, (TryAgain, Refused))
    return raised.value


def failing(code: grpc.StatusCode, details: bytes | None = None) -> Any:
    def answer(context: grpc.ServicerContext) -> Any:
        if details is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(code, "so it is")

    return answer


def status(*details: Any) -> bytes:
    found = Status(code=8)
    for each in details:
        detail = Detail()
        detail.Pack(each)
        found.details.append(detail)
    return bytes(found.SerializeToString())


IN_SEVEN = RetryInfo()
IN_SEVEN.retry_delay.FromMilliseconds(7500)


@pytest.mark.parametrize(
    "code",
    ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"],
)
def test_what_is_temporary(
    grpc_receiver: GrpcReceiver, sender: Sender[StoredSpan], code: str
) -> None:
    grpc_receiver.answers.append(failing(grpc.StatusCode[code], status(Status(), IN_SEVEN)))
    found = problem(sender)
    assert isinstance(found, TryAgain)
    assert (str(found), found.after_seconds) == (f"{code}: so it is", 7.5)
    assert sender.send([span()]) == Outcome()


@pytest.mark.parametrize(
    "code",
    ["INVALID_ARGUMENT", "UNAUTHENTICATED", "INTERNAL", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"],
)
def test_what_is_refused(
    grpc_receiver: GrpcReceiver, sender: Sender[StoredSpan], code: str
) -> None:
    grpc_receiver.answers.append(failing(grpc.StatusCode[code]))
    found = problem(sender)
    assert isinstance(found, Refused)
    assert str(found) == f"{code}: so it is"


@pytest.mark.parametrize(
    ("details", "kind"),
    [(status(IN_SEVEN), TryAgain), (status(), Refused), (b"\xff\xff", Refused)],
)
def test_a_receiver_that_is_full_is_tried_again_if_it_says_when(
    grpc_receiver: GrpcReceiver, sender: Sender[StoredSpan], details: bytes, kind: type[Exception]
) -> None:
    grpc_receiver.answers.append(failing(grpc.StatusCode.RESOURCE_EXHAUSTED, details))
    assert type(problem(sender)) is kind


def test_what_a_receiver_did_not_take_is_known(
    grpc_receiver: GrpcReceiver, sender: Sender[StoredSpan]
) -> None:
    grpc_receiver.answers.append(lambda context: partial(2))
    assert sender.send([span(1), span(2), span(3)]) == Outcome(refused=2)


def test_nobody_there() -> None:
    port = ReservedPort()
    sender = sender_of(wanted(f"otlp+grpc://127.0.0.1:{port.number}"))
    found = problem(sender)
    assert isinstance(found, TryAgain)
    assert "UNAVAILABLE" in str(found)
    sender.close()
    port.release()


def test_a_receiver_that_does_not_answer_is_not_waited_for() -> None:
    silent = ReservedPort()
    silent._socket.listen()
    to = f"otlp+grpc://127.0.0.1:{silent.number}"
    sender = sender_of(wanted(to, timeout_seconds=0.1))
    found = problem(sender)
    assert isinstance(found, TryAgain)
    assert "DEADLINE_EXCEEDED" in str(found)
    sender.close()
    silent.release()


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"ca_file: /no/ca\.pem: No such file"):
        sender_of(wanted("otlp+grpcs://h", ca_file="/no/ca.pem"))


def test_what_cannot_be_said_keeps_nothing_else_back(grpc_receiver: GrpcReceiver) -> None:
    sender = sender_of(wanted(grpc_receiver.url))
    odd = span(9, name="\ud800")
    assert sender.send([span(1), odd, span(2)])[:2] == (0, 1)
    found = spans_of(grpc_receiver.requests)
    assert [each.span_id for each in found] == [id_of(n)[8:] for n in (1, 2)]
    assert sender.send([odd, odd])[:2] == (0, 2)
    assert len(grpc_receiver.requests) == 1
    sender.close()


def test_whoever_keeps_the_call_open_is_left(grpc_receiver: GrpcReceiver) -> None:
    go = threading.Event()

    def takes_its_time(context: grpc.ServicerContext) -> Any:
        go.wait(5.0)
        return partial(0)

    grpc_receiver.answers.append(takes_its_time)
    sender = sender_of(wanted(grpc_receiver.url, timeout_seconds=0.3))
    found = problem(sender)
    go.set()
    assert isinstance(found, TryAgain)
    assert str(found).startswith("DEADLINE_EXCEEDED")
    sender.close()


def says_nothing(client: Conversation) -> None:
    client.wait()


def drips_pings(client: Conversation) -> None:
    """Send HTTP/2's settings, and pings that keep a connection alive."""
    client.listen()
    client.say(bytes(3) + b"\x04" + bytes(5))
    while client.wait(0.02):
        client.say(b"\0\0\x08\x06" + bytes(13))


def drips_headers(client: Conversation) -> None:
    """Send the beginning of an answer, of which more is to come."""
    client.listen()
    client.say(bytes(3) + b"\x04" + bytes(5))
    client.listen()
    client.say(b"\0\0\x01\x01\0\0\0\0\x01\x88")
    while client.wait(0.02):
        client.say(b"\0\0\0\x09\0\0\0\0\x01")


@pytest.mark.parametrize("does", [says_nothing, drips_pings, drips_headers])
def test_whoever_is_slow_is_left(does: Callable[[Conversation], None]) -> None:
    server = Misbehaving(does)
    sender = sender_of(wanted(f"otlp+grpc://127.0.0.1:{server.port}", timeout_seconds=0.5))
    found = problem(sender)
    assert isinstance(found, TryAgain)
    assert str(found).startswith(("DEADLINE_EXCEEDED", "UNAVAILABLE"))
    sender.close()
    server.close()
