# SPDX-License-Identifier: Apache-2.0
"""What has to be tried in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.nodes.node import ROOT


def said_by(program: str, argument: str) -> str:
    """What it writes. It has to end well."""
    ran = subprocess.run(
        [sys.executable, "-c", program, argument],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
