# SPDX-License-Identifier: Apache-2.0
"""The client of one collector. All commands but the daemon begin with it."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
from typing import Any, Final, NamedTuple

from shmetrics import runtime_dir
from shmetrics.client.opener import Opener
from shmetrics.errors import ShmetricsError
from shmetrics.http_client import Clock

INFO_NAME = "collector.json"
HTTP_CONFIG_VARIABLE = "SHMETRICS_HTTP_CONFIG"
#: The time limits for a whole answer, and for each step of it.
TIMEOUT_SECONDS: Final = 60.0
SILENT_SECONDS: Final = 10.0
MOST_ANSWER_BYTES: Final = 256 * 1024 * 1024


class Unreachable(ShmetricsError):
    """There is no collector, or it does not answer properly; the text says what to do."""


class CollectorClient(NamedTuple):
    """A client of a collector.

    Attributes:
        url: the URL of the collector.
        pid: its process, or 0 if it is on another node.
        version: its version, or "" likewise.
        opener: sends the requests, with the credentials.
    """

    url: str
    pid: int = 0
    version: str = ""
    opener: Opener = Opener()

    def get(self, path: str, accept: str = "") -> bytes:
        """Return the body of the answer at a path. Raises Unreachable.

        Args:
            path: the path, and a query.
            accept: the formats to ask for; "": none in particular.
        """
        clock = Clock(TIMEOUT_SECONDS, SILENT_SECONDS)
        try:
            answer = self.opener.get(self.url + path, clock, MOST_ANSWER_BYTES, accept)
        except ssl.SSLError as error:
            text = getattr(error, "verify_message", "") or str(error.reason)
            raise Unreachable(
                f"{self.url}: {text}; give ca_file and server_name, or a certificate of your "
                "own, with --http-config"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            who = f"the collector (pid {self.pid}) still" if self.pid else "its collector"
            raise Unreachable(f"{self.url}: {_line(text)}; is {who} running?") from None
        if answer.status // 100 != 2:
            text = _line(answer.body[:200].decode("utf-8", "replace"))
            text = text.removeprefix(f"{answer.status} ")  # as our own servers begin
            mend = "; give a user and a password with --http-config" if answer.status == 401 else ""
            raise Unreachable(f"{self.url}{path}: {answer.status}: {text}{mend}")
        if not answer.is_whole:
            raise Unreachable(f"{self.url}{path}: more than {MOST_ANSWER_BYTES} bytes")
        return answer.body

    def get_json(self, path: str) -> Any:
        """Return the decoded JSON at a path. Raises Unreachable."""
        try:
            return json.loads(self.get(path))
        except (ValueError, RecursionError) as error:
            raise Unreachable(f"{self.url}{path}: this is not JSON: {error}") from None


def _line(text: str) -> str:
    return " ".join(text[:500].split())


def at(url: str, http_config: str = "") -> CollectorClient:
    """Return the client of the collector at a URL.

    Args:
        url: the URL.
        http_config: the path of a file with credentials, or "".

    Raises:
        ConfigError: that file is wrong.
    """
    return CollectorClient(
        url.rstrip("/"), opener=Opener.of(http_config) if http_config else Opener()
    )


def argument(parser: argparse.ArgumentParser) -> None:
    """Add the flags for the arguments of find()."""
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default="",
        help="the collector's; default: as an emitter finds it, $SHMETRICS_RUNTIME_DIR first",
    )
    parser.add_argument(
        "--http-config",
        metavar="FILE",
        default=os.environ.get(HTTP_CONFIG_VARIABLE, ""),
        help="user, password and certificates for a collector that wants them, as promtool takes "
        f"it; default: ${HTTP_CONFIG_VARIABLE}",
    )


def find(directory: str = "", http_config: str = "") -> CollectorClient:
    """Return the client of the collector of a runtime directory.

    Args:
        directory: the runtime directory; "": the one that an emitter would use.
        http_config: the path of a file with credentials, or "".

    Raises:
        Unreachable: no collector serves the directory; the text says what to do.
        ConfigError: the file with credentials is wrong.
    """
    opener = Opener.of(http_config) if http_config else Opener()
    try:
        directory = directory or runtime_dir.find()
    except runtime_dir.Distrusted as error:
        raise Unreachable(str(error)) from None
    path = os.path.join(directory, INFO_NAME)
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
        return CollectorClient(str(info["url"]), int(info["pid"]), str(info["version"]), opener)
    except FileNotFoundError:
        raise Unreachable(
            f"{directory}: no collector serves here; start one: "
            f"shmetrics collector --runtime-dir {directory}"
        ) from None
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Unreachable(f"{path}: damaged; restart the collector") from None
