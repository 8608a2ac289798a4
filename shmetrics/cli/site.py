# SPDX-License-Identifier: Apache-2.0
"""Where the collector is, and how to ask it: what every command but the daemon begins with."""

from __future__ import annotations

import argparse
import json
import os
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from shmetrics import runtime_dir
from shmetrics.errors import ShmetricsError

INFO_NAME = "collector.json"
TIMEOUT_SECONDS = 10.0

# A proxy from the environment is for the world outside; the collector is on this node.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unreachable(ShmetricsError):
    """There is no collector, or it does not answer."""


class Site(NamedTuple):
    """A collector, as it announced itself."""

    url: str
    pid: int
    version: str

    def get(self, path: str) -> bytes:
        """The body at a path. Raises Unreachable."""
        try:
            with _opener.open(self.url + path, timeout=TIMEOUT_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                text = " ".join(error.read(200).decode("utf-8", "replace").split())
            raise Unreachable(f"{self.url}{path}: {error.code}: {text}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            text = getattr(reason, "strerror", None) or str(reason)
            raise Unreachable(
                f"{self.url}: {text}; is the collector (pid {self.pid}) still running?"
            ) from None

    def get_json(self, path: str) -> Any:
        """The JSON at a path. Raises Unreachable."""
        try:
            return json.loads(self.get(path))
        except ValueError as error:
            raise Unreachable(f"{self.url}{path}: this is not JSON: {error}") from None


def argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that find() takes."""
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default="",
        help="the collector's; default: as an emitter finds it, $SHMETRICS_RUNTIME_DIR first",
    )


def find(directory: str = "") -> Site:
    """The collector of a runtime directory. Raises Unreachable, with what to do about it."""
    directory = directory or runtime_dir.find()
    path = os.path.join(directory, INFO_NAME)
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
        return Site(str(info["url"]), int(info["pid"]), str(info["version"]))
    except FileNotFoundError:
        raise Unreachable(
            f"{directory}: no collector serves here; start one: "
            f"shmetrics collector --runtime-dir {directory}"
        ) from None
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Unreachable(f"{path}: damaged; restart the collector") from None
