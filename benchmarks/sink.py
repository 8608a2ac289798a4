# SPDX-License-Identifier: Apache-2.0
"""Stands in for the oslo-metrics daemon: a process that takes its datagrams as fast as they come.

The real daemon does more with each, so this is kind to the contender that needs it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def receive(path: str) -> None:
    """Receives until it is terminated. Says "ready" once it can."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        print("ready", flush=True)
        while True:
            server.recv(65536)


@contextmanager
def sink() -> Iterator[str]:
    """The path of a socket with a receiver behind it."""
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as directory:
        path = str(Path(directory, "sink.sock"))
        command = [sys.executable, "-m", "benchmarks.sink", path]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the datagram sink did not start")
            yield path
        finally:
            process.terminate()
            process.communicate()


if __name__ == "__main__":
    receive(sys.argv[1])
