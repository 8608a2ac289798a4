# SPDX-License-Identifier: Apache-2.0
"""The collectors that a connection string names: `shm://` is this node's, `shm://a:9464,b:9464` are
those of several nodes."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from shmetrics.client import collector_client
from shmetrics.errors import ShmetricsError


class NoCollectors(ShmetricsError):
    """None of the collectors of a connection string answers; the text says why each does not."""


class Collectors:
    """Where a connection string says that reports come from."""

    def __init__(self, connection_string: str) -> None:
        named = urlsplit(connection_string).netloc.split(",")
        self._hosts = [host.strip() for host in named if host.strip()]

    def ask(self, path: str) -> list[Any]:
        """What each collector that answers says at this path. Raises NoCollectors if none does."""
        config = os.environ.get(collector_client.HTTP_CONFIG_VARIABLE, "")
        found, problems = [], []
        for host in self._hosts or [""]:
            try:
                one = (
                    collector_client.at(f"http://{host}", config)
                    if host
                    else collector_client.find(http_config=config)
                )
                found.append(one.get_json(path))
            except ShmetricsError as error:
                problems.append(str(error))
        if not found:
            raise NoCollectors("; ".join(problems))
        return found
