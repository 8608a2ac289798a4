# SPDX-License-Identifier: Apache-2.0
"""asyncio without TLS, for a process that never uses it in its loop.

asyncio imports `ssl` where there is one, and so 5 MB of OpenSSL come into each process that has a
loop. It works without, as it does in a Python that was built without OpenSSL. Whoever needs TLS
beside the loop, as delivery to a syslog daemon, imports `ssl` as usual.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

_TLS: Final = "ssl"


def load() -> None:
    """Import asyncio without TLS; where one of the two is there already, do nothing."""
    if _TLS in sys.modules or "asyncio" in sys.modules:
        return
    sys.modules[_TLS] = None  # type: ignore[assignment]  # no module: its import fails
    try:
        import_module("asyncio")
    finally:
        del sys.modules[_TLS]
