# SPDX-License-Identifier: Apache-2.0
"""Programs that need a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.nodes.node import ROOT


def said_by(program: str, argument: str) -> str:
    """Run a program to its end, which has to be a success; return its output."""
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
