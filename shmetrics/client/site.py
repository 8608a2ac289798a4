# SPDX-License-Identifier: Apache-2.0
"""Where the collector is, and how to ask it: what every command but the daemon begins with."""

from __future__ import annotations

import argparse
import json
import os
import ssl
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from shmetrics import runtime_dir
from shmetrics.client.opener import Opener
from shmetrics.errors import ShmetricsError

INFO_NAME = "collector.json"
HTTP_CONFIG_VARIABLE = "SHMETRICS_HTTP_CONFIG"
TIMEOUT_SECONDS = 10.0


class Unreachable(ShmetricsError):
    """There is no collector, or it does not answer."""


class Site(NamedTuple):
    """A collector, as it announced itself. Of one of another node only the URL is known."""

    url: str
    pid: int = 0
    version: str = ""
    opener: Opener = Opener()

    def get(self, path: str) -> bytes:
        """The body at a path. Raises Unreachable."""
        try:
            with self.opener.open(self.url + path, TIMEOUT_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                text = " ".join(error.read(200).decode("utf-8", "replace").split())
            mend = "; give a user and a password with --http-config" if error.code == 401 else ""
            raise Unreachable(f"{self.url}{path}: {error.code}: {text}{mend}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):
                text = getattr(reason, "verify_message", "") or str(reason.reason)
                raise Unreachable(
                    f"{self.url}: {text}; give ca_file and server_name, or a certificate of your "
                    "own, with --http-config"
                ) from None
            text = getattr(reason, "strerror", None) or str(reason)
            who = f"the collector (pid {self.pid}) still" if self.pid else "its collector"
            raise Unreachable(f"{self.url}: {text}; is {who} running?") from None

    def get_json(self, path: str) -> Any:
        """The JSON at a path. Raises Unreachable."""
        try:
            return json.loads(self.get(path))
        except ValueError as error:
            raise Unreachable(f"{self.url}{path}: this is not JSON: {error}") from None


def at(url: str, http_config: str = "") -> Site:
    """The collector at a URL. Raises ConfigError for http_config, as find() does."""
    return Site(url.rstrip("/"), opener=Opener.of(http_config) if http_config else Opener())


def argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that find() takes."""
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


def find(directory: str = "", http_config: str = "") -> Site:
    """The collector of a runtime directory. Raises Unreachable, with what to do about it, and
    ConfigError for http_config, a file with what a client has to bring."""
    opener = Opener.of(http_config) if http_config else Opener()
    try:
        directory = directory or runtime_dir.find()
    except runtime_dir.Distrusted as error:
        raise Unreachable(str(error)) from None
    path = os.path.join(directory, INFO_NAME)
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
        return Site(str(info["url"]), int(info["pid"]), str(info["version"]), opener)
    except FileNotFoundError:
        raise Unreachable(
            f"{directory}: no collector serves here; start one: "
            f"shmetrics collector --runtime-dir {directory}"
        ) from None
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Unreachable(f"{path}: damaged; restart the collector") from None
