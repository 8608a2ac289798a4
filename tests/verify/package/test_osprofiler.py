# SPDX-License-Identifier: Apache-2.0
"""The installed package, and OSProfiler's own command on a connection string of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.nodes.node import Node, node

from .conftest import Archives

__all__ = ["node"]

# A folder is made one that Python looks into when it starts.
START = "import site, sys; site.addsitedir(sys.argv.pop(1)); "
COMMAND = START + "from osprofiler.cmd.shell import main; sys.exit(main())"

BASE = "00000000-0000-0000-0000-000000000064"
SPAN = "00000000-0000-0000-0000-000000000065"
SERVICE = f"""
    from shmetrics.emitter.spans import Spans
    spans = Spans("nova", "cloud", "h")
    info = {{"host": "h", "request": {{"method": "GET", "path": "/v2"}}}}
    spans.start("wsgi", {SPAN!r}, {BASE!r}, {BASE!r}, info)
    spans.stop("wsgi", {SPAN!r}, {BASE!r}, {BASE!r}, {{"host": "h"}})
"""


def started(archives: Archives, folder: Path, code: str, *words: str, **env: str) -> str:
    """Run code in a Python whose site-packages have the wheel; return its output."""
    with zipfile.ZipFile(archives.wheel) as wheel:
        wheel.extractall(folder)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder), *words],
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_osprofilers_command_shows_and_lists(
    archives: Archives, node: Node, tmp_path: Path
) -> None:
    node.start()
    node.run(SERVICE)
    words = ("--connection-string", "shm://")
    env = {"SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)}
    said = started(archives, tmp_path / "site", COMMAND, *("trace", "list", *words), **env)
    assert BASE in said
    show = ("trace", "show", "--json", BASE, *words)
    report = json.loads(started(archives, tmp_path / "site", COMMAND, *show, **env))
    (wsgi,) = report["children"]
    assert (wsgi["trace_id"], wsgi["info"]["service"]) == (SPAN, "nova")
    started_info = wsgi["info"]["meta.raw_payload.wsgi-start"]["info"]
    assert started_info["request"] == {"method": "GET", "path": "/v2"}
    html = started(
        archives, tmp_path / "site", COMMAND, *("trace", "show", "--html", BASE, *words), **env
    )
    assert SPAN in html


def test_a_python_that_has_nothing_to_do_with_osprofiler_loads_nothing_of_ours(
    archives: Archives, tmp_path: Path
) -> None:
    code = START + "print([name for name in sys.modules if 'shmetrics' in name])"
    assert started(archives, tmp_path / "site", code).strip() == "['_shmetrics_start']"
