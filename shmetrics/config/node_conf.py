# SPDX-License-Identifier: Apache-2.0
"""OpenShift's `/etc/openshift/node.conf`, translated into the options of `shmetrics gather`.

The file is a shell's: `KEY="value"  # comment`, a line each. Nothing is expanded. Keys that are not
about metrics are ignored. Names and defaults: the metrics plugin of OpenShift's watchman, and its
node library (ApplicationContainer#metrics).
"""

from __future__ import annotations

import logging
import math
import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from shmetrics import plain_file
from shmetrics.config.gather import GatherConfig
from shmetrics.errors import ConfigError

log = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST_INTERVAL_SECONDS = 10.0  # as the plugin has it
_METADATA = (
    "appName:OPENSHIFT_APP_NAME,gear:OPENSHIFT_GEAR_UUID,"
    "app:OPENSHIFT_APP_UUID,ns:OPENSHIFT_NAMESPACE"
)


class NodeConf(NamedTuple):
    """The options of node.conf that are about metrics.

    Attributes:
        enabled: WATCHMAN_METRICS_ENABLED.
        interval_seconds: WATCHMAN_METRICS_INTERVAL, never below 10.
        metadata: METRICS_METADATA: variables of a gear, by the name of the label that each becomes.
        unit_timeout_seconds: METRICS_PER_GEAR_TIMEOUT.
        script_timeout_seconds: METRICS_PER_SCRIPT_TIMEOUT.
        line_bytes: METRICS_MAX_LINE_LENGTH.
        message_bytes: MAX_CGROUPS_METRICS_MESSAGE_LENGTH, of one line that is sent on.
        gear_directory: GEAR_BASE_DIR.
    """

    enabled: bool
    interval_seconds: float
    metadata: Mapping[str, str]
    unit_timeout_seconds: float
    script_timeout_seconds: float
    line_bytes: int
    message_bytes: int
    gear_directory: str


def over(config: GatherConfig, path: str) -> GatherConfig:
    """Return a configuration with what a node.conf says in place of the same options.

    Args:
        config: the configuration.
        path: the node.conf.

    Raises:
        ConfigError: one line with the file, the key, its value, and what is allowed.
    """
    said = read(path)
    if not said.enabled:
        log.warning("%s: WATCHMAN_METRICS_ENABLED is not true: no command of a gear is run", path)
    gather = config.gather
    replace = msgspec.structs.replace
    return replace(
        config,
        gather=replace(
            gather,
            interval_seconds=round(said.interval_seconds),
            gears=said.gear_directory,
            scripts=replace(
                gather.scripts,
                enabled=said.enabled,
                timeout_seconds=said.script_timeout_seconds,
                unit_timeout_seconds=said.unit_timeout_seconds,
            ),
            lines=replace(
                gather.lines, max_line_bytes=said.line_bytes, metadata=dict(said.metadata)
            ),
            deliver=[
                replace(place, max_line_bytes=max(said.message_bytes, 200))
                for place in gather.deliver
            ],
        ),
    )


def read(path: str) -> NodeConf:
    """Return what a node.conf says. Raises ConfigError, one line."""
    try:
        text = plain_file.read(path).decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is not UTF-8") from None
    return parse(text, path)


def parse(text: str, path: str = "node.conf") -> NodeConf:
    """Return what the text of a node.conf says.

    Raises:
        ConfigError: one line with the file, the key, its value, and what is allowed.
    """
    values = _assignments(text, path)

    def number(key: str, default: float, least: float, most: float) -> float:
        said = values.get(key, "")
        try:
            found = float(said) if said else default
        except ValueError:
            found = math.nan
        if not least <= found <= most:
            raise ConfigError(f"{path}: {key}: {said!r} is not a number from {least:g} to {most:g}")
        return found

    interval_seconds = number("WATCHMAN_METRICS_INTERVAL", 60, 0.001, 86400)
    return NodeConf(
        enabled=values.get("WATCHMAN_METRICS_ENABLED", "").lower() in ("true", "1", "yes"),
        interval_seconds=max(interval_seconds, _SHORTEST_INTERVAL_SECONDS),
        metadata=metadata(values.get("METRICS_METADATA") or _METADATA, f"{path}: METRICS_METADATA"),
        unit_timeout_seconds=number("METRICS_PER_GEAR_TIMEOUT", 3, 0.001, 3600),
        script_timeout_seconds=number("METRICS_PER_SCRIPT_TIMEOUT", 1, 0.001, 3600),
        line_bytes=int(number("METRICS_MAX_LINE_LENGTH", 2000, 16, 1 << 20)),
        message_bytes=int(number("MAX_CGROUPS_METRICS_MESSAGE_LENGTH", 1024, 64, 1 << 20)),
        gear_directory=values.get("GEAR_BASE_DIR") or "/var/lib/openshift",
    )


def metadata(said: str, where: str = "metadata") -> dict[str, str]:
    """Return the variables of `label:VARIABLE,label:VARIABLE`, by label.

    Raises:
        ConfigError: it is not of this form; the text begins with where.
    """
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in said.split(","))):
        label, _, variable = (part.strip() for part in pair.partition(":"))
        if not _KEY.fullmatch(label) or not _KEY.fullmatch(variable):
            raise ConfigError(f"{where}: {pair!r} is not of the form label:VARIABLE")
        if label in found:
            raise ConfigError(f"{where}: {label!r} is there twice; remove one")
        found[label] = variable
    return found


def _assignments(text: str, path: str) -> dict[str, str]:
    """Return the values by their keys, the last of a key."""
    values = {}
    for number, line in enumerate(text.split("\n"), 1):
        key, equals, rest = line.strip().removeprefix("export ").partition("=")
        if not key.strip() or key.lstrip().startswith("#"):
            continue
        if not equals or not _KEY.fullmatch(key):
            raise ConfigError(f'{path}: line {number}: this is not of the form KEY="value"')
        try:
            words = shlex.split(rest, comments=True)
        except ValueError as error:
            raise ConfigError(f"{path}: line {number}: {key}: {error}") from None
        values[key] = words[0] if words else ""
    return values
