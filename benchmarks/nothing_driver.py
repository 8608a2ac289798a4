# SPDX-License-Identifier: Apache-2.0
"""An oslo.messaging driver that does nothing, at once: what is left is the cost around it.

oslo.messaging finds drivers among the entry points of what is installed, so `installed()` puts the
metadata of a distribution on the path that has this one, `nothing://`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oslo_messaging._drivers.base import BaseDriver


class NothingDriver(BaseDriver):  # type: ignore[misc]
    """Takes every message and answers every call with None."""

    def send(
        self,
        target: Any,
        ctxt: Any,
        message: Any,
        wait_for_reply: Any = None,
        timeout: Any = None,
        call_monitor_timeout: Any = None,
        retry: Any = None,
        transport_options: Any = None,
    ) -> None:
        pass

    def send_notification(self, *_: Any, **__: Any) -> None:
        pass

    def listen(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    listen_for_notifications = listen

    def cleanup(self) -> None:
        pass


@contextmanager
def installed() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as directory:
        metadata = Path(directory, "nothing_driver-0.dist-info")
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: nothing-driver\nVersion: 0\n"
        )
        (metadata / "entry_points.txt").write_text(
            "[oslo.messaging.drivers]\nnothing = benchmarks.nothing_driver:NothingDriver\n"
        )
        sys.path.append(directory)
        try:
            yield
        finally:
            sys.path.remove(directory)
