# SPDX-License-Identifier: Apache-2.0
"""An existing configuration file of oslo.metrics, translated into our options.

The file is read by oslo.config, which defines its format (interpolation, several files, own types).
"""

from __future__ import annotations

from typing import Any

from shmetrics import plain_file
from shmetrics.config.address import Address
from shmetrics.errors import ConfigError

GROUP = "oslo_metrics"


def read(path: str) -> dict[str, Any]:
    """Return our options for those in the file: the socket and the address of the HTTP server.

    Raises:
        ConfigError: the file is wrong, or oslo.config is not installed.
    """
    cfg = library("--oslo-config", path)
    conf = cfg.ConfigOpts()
    # Names, types and defaults are those of oslo.metrics. wsgi_silent_server says whether requests
    # are logged; we never log them, so it is accepted and changes nothing.
    conf.register_opts(
        [
            cfg.StrOpt("metrics_socket_file", default="/var/tmp/metrics_collector.sock"),
            cfg.StrOpt("prometheus_host", default=""),
            cfg.PortOpt("prometheus_port", default=3000),
            cfg.IntOpt("metrics_socket_perm", default=0o660),
            cfg.BoolOpt("wsgi_silent_server", default=True),
        ],
        group=GROUP,
    )
    try:
        plain_file.read(path)  # checked first, because oslo.config would wait for a pipe
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        conf(args=[], project="oslo-metrics", default_config_files=[path], default_config_dirs=[])
    except cfg.Error as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    values = {option: _value(conf, option, path, cfg.Error) for option in conf[GROUP]}
    return {
        "listen": str(Address(values["prometheus_host"] or "0.0.0.0", values["prometheus_port"])),
        "oslo_metrics_socket": values["metrics_socket_file"],
        # People write 660 there, a decimal number. oslo.metrics passes its bits to chmod, so do we.
        "oslo_metrics_socket_mode": values["metrics_socket_perm"] & 0o777,
    }


def library(flag: str, path: str) -> Any:
    """Return the module `oslo_config.cfg`. Raises ConfigError if it is not installed.

    Args:
        flag: the flag that names the file, for the error.
        path: the file.
    """
    try:
        from oslo_config import cfg
    except ImportError:
        raise ConfigError(
            f"{flag} {path}: oslo.config reads this file and is not installed; "
            "pip install 'shmetrics[oslo]'"
        ) from None
    return cfg


def _value(conf: Any, option: str, path: str, problem: type[Exception]) -> Any:
    try:
        return conf[GROUP][option]
    except problem as error:  # a wrong value, or a reference to an option that does not exist
        text = " ".join(str(error).split())
        reason = text.partition("is not valid: ")[2] or text
        raise ConfigError(f"{path}: {GROUP}.{option}: {reason}") from None
