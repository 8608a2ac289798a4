# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc): one call per batch."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from shmetrics import plain_file
from shmetrics.config.destination import Receiver
from shmetrics.destinations import otlp
from shmetrics.destinations.sender import Outcome, Refused, TryAgain
from shmetrics.traces.reader import StoredSpan

_CODE = grpc.StatusCode
_TEMPORARY: Final = frozenset(  # by the specification
    (
        *(_CODE.CANCELLED, _CODE.DEADLINE_EXCEEDED, _CODE.ABORTED),
        *(_CODE.OUT_OF_RANGE, _CODE.UNAVAILABLE, _CODE.DATA_LOSS),
    )
)


class OtlpGrpc:
    """A sender to an OTLP receiver, by gRPC."""

    def __init__(
        self,
        receiver: Receiver,
        headers: Mapping[str, str],
        ca_file: str = "",
        timeout_seconds: float = 10.0,
    ) -> None:
        """Prepare the channel. It connects at the first batch.

        Args:
            receiver: the receiver.
            headers: metadata for each call.
            ca_file: the certificates that the receiver is checked against; "": gRPC's own.
            timeout_seconds: the time limit for an answer.

        Raises:
            OSError: *ca_file* cannot be read.
        """
        self._timeout_seconds = timeout_seconds
        self._metadata = [(name.lower(), value) for name, value in headers.items()]
        if receiver.credentials:
            basic = base64.b64encode(receiver.credentials.encode()).decode()
            self._metadata.append(("authorization", f"Basic {basic}"))
        host = f"[{receiver.host}]" if ":" in receiver.host else receiver.host
        target = f"{host}:{receiver.port}"
        if receiver.is_tls:
            trusted = plain_file.read(ca_file) if ca_file else None
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(trusted))
        else:
            self._channel = grpc.insecure_channel(target)
        self._stub: Any = TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        """Send a batch; see Sender."""
        message, outcome = otlp.request(spans)
        if outcome.failed == len(spans):
            return outcome
        try:
            answer = self._stub.Export(
                message, timeout=self._timeout_seconds, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise _problem(error) from None
        return outcome._replace(refused=int(answer.partial_success.rejected_spans))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
        del self._stub, self._channel  # gRPC closes its descriptors with the last reference


def _problem(error: Any) -> TryAgain | Refused:
    code, after_seconds = error.code(), _after_seconds(error.trailing_metadata() or ())
    why = f"{code.name}: {error.details()}"
    # A receiver with exhausted resources may recover, if it says when.
    is_full = code is _CODE.RESOURCE_EXHAUSTED and after_seconds is not None
    if code in _TEMPORARY or is_full:
        return TryAgain(why, after_seconds or 0.0)
    return Refused(why)


def _after_seconds(metadata: Any) -> float | None:
    """Return the delay of RetryInfo in the details of a status, in seconds, or None."""
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            try:
                for detail in Status.FromString(value).details:
                    found = RetryInfo()
                    if detail.Unpack(found):
                        delay = found.retry_delay
                        return max(float(delay.seconds) + float(delay.nanos) / 1e9, 0.0)
            except DecodeError:
                return None
    return None
