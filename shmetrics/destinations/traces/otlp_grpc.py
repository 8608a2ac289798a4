# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc): one call per batch."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from shmetrics.config.client_tls import pem
from shmetrics.config.trace_destination import Receiver
from shmetrics.destinations.traces import otlp
from shmetrics.forwarding.grpc_status import problem_of
from shmetrics.forwarding.sender import Outcome
from shmetrics.traces.reader import StoredSpan


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
            ConfigError: *ca_file* cannot be read.
        """
        self._timeout_seconds = timeout_seconds
        self._metadata = [(name.lower(), value) for name, value in headers.items()]
        if receiver.credentials:
            basic = base64.b64encode(receiver.credentials.encode()).decode()
            self._metadata.append(("authorization", f"Basic {basic}"))
        host = f"[{receiver.host}]" if ":" in receiver.host else receiver.host
        target = f"{host}:{receiver.port}"
        if receiver.is_tls:
            trusted = pem("ca_file", ca_file)
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
            raise problem_of(error) from None
        return outcome._replace(refused=int(answer.partial_success.rejected_spans))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
        del self._stub, self._channel  # gRPC closes its descriptors with the last reference
