# SPDX-License-Identifier: Apache-2.0
"""A gunicorn that runs an application of this folder, on a socket of its node's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.docs.snippets import ROOT
from tests.nodes.node import Node
from tests.prefork.client import ask
from tests.servers.processes import ServerProcess

PATIENCE_SECONDS = 60


@contextlib.contextmanager
def gunicorn(
    node: Node, folder: Path, application: str, *options: str, **environment: str
) -> Iterator[ServerProcess]:
    """Start it, and stop it at the end.

    Args:
        node: the node for which the application records.
        folder: for its log, its files and the application's ledger.
        application: the module.
        options: more of the command line.
        environment: more variables for the application.
    """
    http = node.runtime_dir / "http.sock"
    command = [
        *(sys.executable, "-W", "ignore", "-m", "gunicorn", "--bind", f"unix:{http}"),
        *("--chdir", str(ROOT / "tests" / "prefork"), "--worker-tmp-dir", str(folder)),
        *("--no-control-socket", *options, f"{application}:application"),
    ]
    own = {
        "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir),
        "LEDGER": str(folder / "ledger"),
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
    }
    server = ServerProcess(command, folder / "server.log", os.environ | own | environment)
    try:
        server.ready_when(lambda: ask(http) != 0, PATIENCE_SECONDS)
        yield server
    finally:
        server.stop()
