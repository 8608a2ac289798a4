# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp): one POST per batch.

Each batch has a connection of its own. There is one batch a second, or per thousand spans: too few
to be worth keeping a connection, which can also go stale.
"""

from __future__ import annotations

import base64
import http.client
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from shmetrics.config.client_tls import client_context
from shmetrics.config.trace_destination import Receiver
from shmetrics.destinations.traces import otlp
from shmetrics.forwarding.sender import Outcome, Refused, TryAgain
from shmetrics.http_client import Answer, Clock, Peer, exchange, retry_after_seconds
from shmetrics.traces.reader import StoredSpan

MOST_ANSWER_BYTES: Final = 64 * 1024
_TEMPORARY: Final = (429, 502, 503, 504)  # by the specification


class OtlpHttp:
    """A sender to an OTLP receiver, by protocol buffers over HTTP."""

    def __init__(
        self,
        receiver: Receiver,
        headers: Mapping[str, str],
        ca_file: str = "",
        timeout_seconds: float = 10.0,
    ) -> None:
        """Prepare the requests. Nothing is sent yet.

        Args:
            receiver: the receiver.
            headers: headers for each request.
            ca_file: the certificates that the receiver is checked against; "": the system's.
            timeout_seconds: the time limit for a request and its answer.

        Raises:
            ConfigError: *ca_file* cannot be read, or is none in PEM.
        """
        tls = client_context(ca_file) if receiver.is_tls else None
        self._peer = Peer(receiver.host, receiver.port, tls)
        self._path = receiver.path
        self._timeout_seconds = timeout_seconds
        self._headers = {**headers, "Content-Type": "application/x-protobuf"}
        if receiver.credentials:
            basic = base64.b64encode(receiver.credentials.encode()).decode()
            self._headers["Authorization"] = f"Basic {basic}"

    def send(self, spans: Sequence[StoredSpan]) -> Outcome:
        """Send a batch; see Sender."""
        message, outcome = otlp.request(spans)
        if outcome.failed == len(spans):
            return outcome
        answer = self._answer(message.SerializeToString())
        if answer.status // 100 == 2:
            return outcome._replace(refused=_refused(answer.body))
        why = f"{answer.status} {answer.reason}"
        if answer.status in _TEMPORARY:
            raise TryAgain(why, retry_after_seconds(answer.headers.get("Retry-After", "")))
        raise Refused(why)

    def _answer(self, body: bytes) -> Answer:
        clock = Clock(self._timeout_seconds)
        try:
            return exchange(
                self._peer, "POST", self._path, self._headers, clock, body, MOST_ANSWER_BYTES
            )
        except (OSError, http.client.HTTPException) as error:
            raise TryAgain(str(error) or type(error).__name__) from None

    def close(self) -> None:
        """Do nothing: no connection is open between two batches."""


def _refused(answer: bytes) -> int:
    """Return the number of refused spans in an answer; 0 if the answer is not OTLP's."""
    try:
        found = ExportTraceServiceResponse.FromString(answer)
    except DecodeError:
        return 0
    return int(found.partial_success.rejected_spans)
