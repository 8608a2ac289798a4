# SPDX-License-Identifier: Apache-2.0
"""The status of a failed call of gRPC: is a batch tried again? By OTLP's specification."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from shmetrics.forwarding.sender import Refused, TryAgain

_CODE = grpc.StatusCode
_TEMPORARY: Final = frozenset(  # by the specification
    (
        *(_CODE.CANCELLED, _CODE.DEADLINE_EXCEEDED, _CODE.ABORTED),
        *(_CODE.OUT_OF_RANGE, _CODE.UNAVAILABLE, _CODE.DATA_LOSS),
    )
)


def problem_of(error: Any) -> TryAgain | Refused:
    """Return the problem of a batch whose call ended with an RpcError."""
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
