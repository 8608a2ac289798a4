# SPDX-License-Identifier: Apache-2.0
"""A collector process, as an operator starts it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.servers.processes import Forked, until

__all__ = ["Collector", "collector"]


class Collector:
    """``shmetrics collector`` on *runtime_dir* and a free port; ``url`` is where it answers."""

    def __init__(
        self,
        runtime_dir: Path,
        log: Path,
        options: Sequence[str] = (),
        listen: str = "127.0.0.1:0",
    ) -> None:
        self.runtime_dir = runtime_dir
        self._log = log
        command = ["shmetrics", "collector", *options]
        command += ["--runtime-dir", str(runtime_dir)]
        command += ["--listen", listen] if listen else []
        self._process = Forked(command, log)
        self._process.ready_when(lambda: self._said_url() is not None, 30)
        self.url = str(self._said_url())

    def lanes(self) -> list[str]:
        """Return the files of the lanes that there are."""
        return sorted(path.name for path in self.runtime_dir.glob("lanes/*"))

    def stop(self) -> int:
        """Stop it as an operator does; return its exit status."""
        return self._process.stop()

    def _said_url(self) -> str | None:
        found = re.search(r"ready: (https?://[0-9.]+:\d+)", self._log.read_text())
        return found and found[1]


@pytest.fixture
def collector(runtime_dir: Path, tmp_path: Path) -> Iterator[Collector]:
    """Yield a collector of this test's own, on the fixture `runtime_dir`."""
    collector = Collector(runtime_dir, tmp_path / "collector.log")
    yield collector
    # The emitters of the test are gone before its collector is, and it is to notice.
    until(lambda: not collector.lanes(), lambda: f"left over: {collector.lanes()}", 10)
    assert collector.stop() == 0
