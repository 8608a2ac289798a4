# SPDX-License-Identifier: Apache-2.0
"""Collectors of the soak, one after the other on the same directory, each killed or stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.nodes.samples import Samples, parse
from tests.verify.soak.account import Wrong
from tests.verify.soak.web_file import AUTHORIZATION

PATIENCE_SECONDS = 60
_READY = re.compile(r"ready: (http://\S+)")


class Life:
    """One collector, from its start to its end."""

    def __init__(
        self, runtime_dir: Path, folder: Path, number: int, config: str, web_file: Path
    ) -> None:
        self.number = number
        self.log_path = folder / f"collector-{number}.log"
        self.doomed = False  # what happens to it from now on is our doing
        self.url = ""
        self.begun_at = time.monotonic()
        config_path = folder / "collector.toml"
        config_path.write_text(config)
        command = [sys.executable, "-m", "shmetrics", "collector", "--config", str(config_path)]
        command += ["--runtime-dir", str(runtime_dir), "--listen", "127.0.0.1:0"]
        command += ["--web-config", str(web_file)]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def check(self) -> None:
        """Raises Wrong if it has ended by itself."""
        status = self._process.poll()
        if status is not None and not self.doomed:
            raise Wrong(f"collector {self.number} ended with status {status}: {self.log[-2000:]}")

    async def ready(self) -> None:
        """Waits until it answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (said := _READY.search(self.log)):
            self.check()
            if time.monotonic() > deadline:
                raise Wrong(f"collector {self.number} is not ready: {self.log[-2000:]}")
            await asyncio.sleep(0.01)
        self.url = said[1]

    def signal(self, number: int) -> None:
        self.check()
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it as nobody can foresee, frozen or not."""
        self.check()
        self.doomed = True
        self._process.kill()
        self._process.wait()

    async def stop(self) -> None:
        """Stops it as an operator does."""
        self.check()
        self.doomed = True
        self._process.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                raise Wrong(f"collector {self.number} does not stop")
            await asyncio.sleep(0.01)
        if self._process.returncode != 0:
            raise Wrong(f"collector {self.number} stopped with {self._process.returncode}")

    def abandon(self) -> None:
        """For the end, whatever came."""
        self.doomed = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()

    async def scrape(self) -> Samples:
        """Raises OSError if it is killed meanwhile, and Wrong if it fails by itself."""
        try:
            body = await asyncio.to_thread(
                _get, self.url + "/metrics", {"Authorization": AUTHORIZATION}
            )
        except OSError as error:  # of urllib, and of http.client
            self.check()
            if self.doomed:
                raise
            raise Wrong(f"collector {self.number} does not answer: {error}") from None
        return parse(body.decode())

    async def turns_away(self) -> bool:
        """Asks without a password. Raises Wrong if there is an answer; False if it is killed."""
        try:
            await asyncio.to_thread(_get, self.url + "/metrics", {})
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return True
            raise Wrong(f"collector {self.number} answers {error.code}, not 401") from None
        except OSError:
            return False  # frozen, killed or about to end: the scrapes look after that
        raise Wrong(f"collector {self.number} answers without a password")


def _get(url: str, headers: dict[str, str]) -> bytes:
    import http.client

    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS + 120) as response:
            body: bytes = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from None
    return body
