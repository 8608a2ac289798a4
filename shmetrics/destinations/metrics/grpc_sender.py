# SPDX-License-Identifier: Apache-2.0
"""A sender of OTLP's metrics by gRPC, https://opentelemetry.io/docs/specs/otlp/#otlpgrpc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc

from shmetrics.config.client_tls import pem
from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics.encoder import Part
from shmetrics.destinations.metrics.http_sender import Authorization
from shmetrics.destinations.metrics.otlp import taken
from shmetrics.errors import ConfigError
from shmetrics.forwarding.grpc_status import problem_of
from shmetrics.forwarding.sender import Outcome, TryAgain

METHOD: Final = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def _same(message: bytes) -> bytes:
    return message


class GrpcSender:
    """A sender to an OTLP receiver. What it sends is encoded already."""

    def __init__(self, settings: MetricsForward) -> None:
        """Prepare the channel. It connects at the first part.

        Raises:
            ConfigError: a file cannot be read.
        """
        to = settings.destination
        self._timeout_seconds = settings.timeout_seconds
        self._metadata = [(name.lower(), value) for name, value in settings.headers.items()]
        self._authorization = Authorization(settings)
        self._authorization.header()  # so that what is missing is said at the start
        host = f"[{to.host}]" if ":" in to.host else to.host
        address = f"{host}:{to.port}"
        if to.is_tls:
            self._channel = grpc.secure_channel(address, _credentials(settings))
        else:
            self._channel = grpc.insecure_channel(address)
        self._export: Any = self._channel.unary_unary(METHOD, _same, _same)

    def send(self, parts: Sequence[Part]) -> Outcome:
        """Send a part; see Sender."""
        (part,) = parts  # a forwarder sends parts one at a time
        return taken(part, self._answer(part.content))

    def _answer(self, message: bytes) -> bytes:
        try:
            said = [(name.lower(), value) for name, value in self._authorization.header().items()]
            answer: bytes = self._export(
                message, timeout=self._timeout_seconds, metadata=[*self._metadata, *said]
            )
        except ConfigError as error:
            raise TryAgain(str(error)) from None
        except grpc.RpcError as error:
            raise problem_of(error) from None
        return answer

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
        del self._export, self._channel  # gRPC closes its descriptors with the last reference


def _credentials(settings: MetricsForward) -> Any:
    """Return the credentials of TLS. Raises ConfigError."""
    trusted = pem("ca_file", settings.ca_file)
    cert = pem("cert_file", settings.cert_file)
    key = pem("key_file", settings.key_file)
    return grpc.ssl_channel_credentials(trusted, key, cert)
