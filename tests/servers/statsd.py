# SPDX-License-Identifier: Apache-2.0
"""npm's statsd, with a backend of ours that adds up what it flushes and writes it to a file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.once import once
from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess

__all__ = ["Statsd", "installed", "lacking"]

VERSION = "0.9.0"
START_SECONDS = 60

_BACKEND = """
const fs = require('fs');
exports.init = function (started, config, events) {
  const totals = {counters: {}, gauges: {}};
  events.on('flush', function (time, metrics) {
    for (const [name, value] of Object.entries(metrics.counters))
      totals.counters[name] = (totals.counters[name] || 0) + value;
    Object.assign(totals.gauges, metrics.gauges);
    fs.writeFileSync(config.totals + '.new', JSON.stringify(totals));
    fs.renameSync(config.totals + '.new', config.totals);
  });
  return true;
};
"""


def lacking() -> str:
    """Return the reason why no statsd can run here; "" if it can."""
    missing = [name for name in ("node", "npm") if not shutil.which(name)]
    return f"no {' and no '.join(missing)}; Debian has both" if missing else ""


def installed(factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which npm has installed statsd, once for all tests of a run."""

    def install(folder: Path) -> None:
        command = ["npm", "install", "--no-audit", "--no-fund", "--omit=optional"]
        command += [f"--prefix={folder}", f"--cache={folder}/cache", f"statsd@{VERSION}"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)

    return once(factory, "npm-statsd", install)


class Statsd:
    """A statsd on a port of UDP, which runs until stop()."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._totals = folder / "totals.json"
        backend = folder / "backend.js"
        backend.write_text(_BACKEND)
        self._reserved = ReservedPort()  # of TCP, for its management; UDP has the same number
        self.port = self._reserved.number
        options = {
            "address": "127.0.0.1",
            "port": self.port,
            "mgmt_address": "127.0.0.1",
            "mgmt_port": self.port,
            "flushInterval": 50,
            "backends": [str(backend)],
            "totals": str(self._totals),
            "keyNameSanitize": False,
        }
        file = folder / "config.js"
        file.write_text(json.dumps(options))
        self._command = ["node", str(program / "node_modules/statsd/stats.js"), str(file)]
        self._log = folder / "statsd.log"
        self._process = ServerProcess(self._command, self._log)
        self._process.ready_when(self._totals.exists, START_SECONDS)

    def counters(self) -> dict[str, float]:
        """Return the sums of all counters but its own."""
        return self._said("counters")

    def gauges(self) -> dict[str, float]:
        """Return the last values of all gauges but its own."""
        return self._said("gauges")

    def _said(self, kind: str) -> dict[str, float]:
        totals = json.loads(self._totals.read_text())[kind]
        return {name: value for name, value in totals.items() if not name.startswith("statsd.")}

    @property
    def bad_lines(self) -> float:
        """Return how many lines it did not understand."""
        totals = json.loads(self._totals.read_text())
        return float(totals["counters"].get("statsd.bad_lines_seen", 0))

    def stop(self) -> None:
        self._process.stop()
        self._reserved.release()
