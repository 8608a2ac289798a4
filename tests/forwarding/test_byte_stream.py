# SPDX-License-Identifier: Apache-2.0
"""A connection that is kept: whether the other end has closed it, with and without TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from shmetrics.forwarding.byte_stream import _is_ended
from tests.http.authority import Authority
from tests.servers.patience import until


def test_a_connection_is_ended_once_the_other_end_has_closed_it() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            assert not _is_ended(ours)
        assert _is_ended(ours)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_over_tls_any_context_will_do(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """TLS says in its own way that there is nothing to read, also after it has read a ticket."""
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.certify("server"))
    client = ssl.create_default_context(cafile=str(authority.file))
    client.minimum_version = client.maximum_version = version
    ours, theirs = socket.socketpair()
    accepted: list[ssl.SSLSocket] = []
    thread = threading.Thread(
        target=lambda: accepted.append(server.wrap_socket(theirs, server_side=True))
    )
    thread.start()
    with client.wrap_socket(ours, server_hostname="localhost") as connection:
        thread.join()
        for _ in range(3):
            assert not _is_ended(connection)
        accepted[0].close()
        until(lambda: _is_ended(connection), lambda: "it is not ended", 30)
