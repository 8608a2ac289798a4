# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a MongoDB server: it speaks the wire protocol and knows some commands.

No registry that we can use has a server. This one is for drivers: it answers as one whose
collections are empty, fails what is asked of `failing`, and hangs up at what is asked of `gone`.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from typing import Any, Final

import bson

__all__ = ["MongoDB"]

_HEADER: Final = struct.Struct("<iiii")  # bytes, request id, answer to, opcode
_MESSAGE, _QUERY, _REPLY = 2013, 2004, 1
_HELLO: Final = {
    "ismaster": True,
    "isWritablePrimary": True,
    "helloOk": True,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48 << 20,
    "maxWriteBatchSize": 100_000,
    "ok": 1,
}


class MongoDB:
    """A stand-in for MongoDB, which runs until stop()."""

    def __init__(self) -> None:
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Connection)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"mongodb://{host!s}:{port}/?directConnection=true"

    def stop(self) -> None:
        """Stop. Its clients are closed by then: it waits for them."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while head := self.rfile.read(_HEADER.size):
            n_bytes, request_id, _, opcode = _HEADER.unpack(head)
            body = self.rfile.read(n_bytes - _HEADER.size)
            answer = _answer(_command(opcode, body))
            if answer is None:
                return
            said = bson.encode(answer)
            if opcode == _QUERY:
                said = struct.pack("<iqii", 8, 0, 0, 1) + said
            else:
                said = struct.pack("<ib", 0, 0) + said
            sort = _REPLY if opcode == _QUERY else _MESSAGE
            self.wfile.write(_HEADER.pack(_HEADER.size + len(said), 0, request_id, sort) + said)


def _command(opcode: int, body: bytes) -> dict[str, Any]:
    """Return the command of a request; sequences of documents behind it are left out."""
    if opcode == _QUERY:
        at = body.index(b"\0", 4) + 1 + 8  # flags, a collection's name, two numbers
    else:
        assert opcode == _MESSAGE
        assert body[4] == 0
        at = 5  # flags, and the sort of what comes first
    (n_bytes,) = struct.unpack_from("<i", body, at)
    return dict(bson.decode(body[at : at + n_bytes]))


def _answer(command: dict[str, Any]) -> dict[str, Any] | None:
    """Return the answer to a command; None to hang up."""
    name, of = next(iter(command.items()))
    if name.lower() in ("hello", "ismaster"):
        return _HELLO
    if of == "gone":
        return None
    if of == "failing":
        text = f"no: {command.get('filter')}"
        return {"ok": 0, "errmsg": text, "code": 59, "codeName": "CommandNotFound"}
    if name.lower() == "buildinfo":
        return {"ok": 1, "version": "7.0.0", "versionArray": [7, 0, 0, 0]}
    if name in ("find", "listCollections", "listIndexes"):
        return {"ok": 1, "cursor": {"id": 0, "ns": f"{command['$db']}.{of}", "firstBatch": []}}
    return {"ok": 1, "n": 1}
