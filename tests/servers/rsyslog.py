# SPDX-License-Identifier: Apache-2.0
"""An rsyslogd of our own, in its own folder."""

import shutil
from pathlib import Path

from tests.servers.patience import until
from tests.servers.processes import ServerProcess

__all__ = ["Rsyslog", "lacking"]

START_SECONDS = 60

# Each message as one line of JSON, with the parts that a parser of RFC 5424 has found.
_BEGIN = """
global(workDirectory="{folder}")
module(load="imuxsock" SysSock.Use="off")
template(name="parts" type="list" option.jsonf="on") {{
    property(outname="pri" name="pri" format="jsonf")
    property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="app" name="app-name" format="jsonf")
    property(outname="procid" name="procid" format="jsonf")
    property(outname="msgid" name="msgid" format="jsonf")
    property(outname="text" name="msg" format="jsonf")
}}
"""


def lacking() -> str:
    """Return the reason why no daemon can run here; "" if it can."""
    return "" if shutil.which("rsyslogd") else "no rsyslogd; Debian has it as rsyslog"


class Rsyslog:
    """A daemon with a configuration, which runs until stop()."""

    def __init__(self, folder: Path, configuration: str, ready: Path | None = None) -> None:
        """Start it.

        Args:
            folder: its folder; the path of a socket in it has to be short.
            configuration: what it listens on, and what it does with messages; `parts` is a
                template that has them as JSON.
            ready: a file or socket that is there once the daemon listens; None: its pid file.
        """
        file = folder / "rsyslog.conf"
        file.write_text(_BEGIN.format(folder=folder) + configuration)
        pid = folder / "rsyslog.pid"
        pid.unlink(missing_ok=True)
        command = ["rsyslogd", "-n", "-f", str(file), "-i", str(pid)]
        self.log = folder / "rsyslog.log"
        self._process = ServerProcess(command, self.log)
        self._process.ready_when((ready or pid).exists, START_SECONDS)

    def stop(self) -> int:
        return self._process.stop()


def lines_of(file: Path, n: int, seconds: float = START_SECONDS) -> list[str]:
    """Wait until a file has so many lines, and return them."""

    def found() -> list[str]:
        return file.read_text(errors="surrogateescape").splitlines() if file.exists() else []

    until(lambda: len(found()) >= n, lambda: f"{file}: {found()[-3:]}", seconds)
    return found()
