# SPDX-License-Identifier: Apache-2.0
"""Requests to the collector of this node, by its user or by root."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from shmetrics import runtime_dir
from shmetrics.client.collector_client import Unreachable
from shmetrics.errors import ShmetricsError

ANSWER_BYTES = 64 * 1024
TIMEOUT_SECONDS = 60.0


def ask(request: dict[str, Any], directory: str = "") -> str:
    """Ask the collector of a runtime directory to do something.

    Args:
        request: the request.
        directory: the runtime directory; "": the one that an emitter would use.

    Returns:
        What it says about it, one line.

    Raises:
        Unreachable: no collector answers; the text says what to do.
        ShmetricsError: the collector says no, in one line.
    """
    try:
        directory = directory or runtime_dir.find()
    except runtime_dir.Distrusted as error:
        raise Unreachable(str(error)) from None
    path = os.path.join(directory, runtime_dir.CONTROL_NAME)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(path)
            connection.send(json.dumps(request).encode())
            answer = json.loads(connection.recv(ANSWER_BYTES) or b"null")
    except PermissionError:
        raise Unreachable(f"{path}: only root and the collector's user may do this") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unreachable(
            f"{directory}: no collector serves here; start one: "
            f"shmetrics collector --runtime-dir {directory}"
        ) from None
    except (OSError, ValueError) as error:
        raise Unreachable(f"{path}: {error}") from None
    if not isinstance(answer, dict) or not answer.keys() & {"done", "problem"}:
        raise Unreachable(f"{path}: the collector has not answered; see its log")
    if "problem" in answer:
        raise ShmetricsError(str(answer["problem"]))
    return str(answer["done"])
