# SPDX-License-Identifier: Apache-2.0
"""The collectors that a connection string names, which are asked for reports.

`shm://` is the collector of this node, `shm://a:9464,b:9464` are the collectors of several nodes.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from shmetrics.client import collector_client
from shmetrics.errors import ShmetricsError


class NoCollectors(ShmetricsError):
    """No collector of a connection string answers; the text says why each does not."""


class Collectors:
    """The collectors of one connection string."""

    def __init__(self, connection_string: str) -> None:
        named = urlsplit(connection_string).netloc.split(",")
        self._hosts = [host.strip() for host in named if host.strip()]

    def ask(self, path: str) -> list[Any]:
        """Ask all collectors for the JSON at *path*.

        Returns:
            The answer of each collector that answers.

        Raises:
            NoCollectors: no collector answers.
        """
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
