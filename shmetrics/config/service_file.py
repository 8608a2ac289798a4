# SPDX-License-Identifier: Apache-2.0
"""The configuration file of a service on oslo.messaging, as far as it decides what is measured.

The parser is oslo.config's. Values are taken as they are written: references to options (`$my_ip`)
are understood by the service alone, and none of what is asked here depends on them.
"""

from __future__ import annotations

from typing import NamedTuple

from shmetrics import plain_file
from shmetrics.config import oslo
from shmetrics.errors import ConfigError

PREFIX = "shmetrics+"


class ServiceFile(NamedTuple):
    """The options in a service's file. Values may contain passwords.

    Attributes:
        transport_url: the broker of its RPC; "" if the file has none.
        notifications_url: the broker of its notifications; "" if it is the same.
        has_stock_metrics: whether oslo.messaging sends oslo.metrics's datagrams.
        api_database: the URL of Nova's API database; "" if the file has none.
        database: the URL of its own database; "" if the file has none.
    """

    transport_url: str
    notifications_url: str
    has_stock_metrics: bool
    api_database: str
    database: str

    @property
    def is_prefixed(self) -> bool:
        """Return whether `transport_url` switches shmetrics on."""
        return self.transport_url.startswith(PREFIX)


def scheme(url: str) -> str:
    """Return the scheme of a URL, which is no secret."""
    return url.partition(":")[0]


def read(path: str) -> ServiceFile:
    """Read a service's file.

    Raises:
        ConfigError: it cannot be read, or oslo.config is not installed.
    """
    cfg = oslo.library("--service-config", path)
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        plain_file.read(path)  # checked first, because oslo.config would wait for a pipe
        cfg.ConfigParser(path, sections).parse()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (cfg.ParseError, ValueError) as error:  # it quotes the line, which may have a password
        where = getattr(error, "lineno", None)
        raise ConfigError(
            f"{path}: {f'line {where} ' if where else ''}is not in the form of oslo.config: "
            "[group], or option = value"
        ) from None

    def value(section: str, option: str) -> str:
        return sections.get(section, {}).get(option, [""])[-1].replace("$$", "$")

    enabled = value("oslo_messaging_metrics", "metrics_enabled")
    return ServiceFile(
        transport_url=value("DEFAULT", "transport_url"),
        notifications_url=value("oslo_messaging_notifications", "transport_url"),
        has_stock_metrics=enabled.lower() in ("true", "1", "yes", "on"),
        api_database=value("api_database", "connection"),
        database=value("database", "connection"),
    )
