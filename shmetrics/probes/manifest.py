# SPDX-License-Identifier: Apache-2.0
"""The metrics in the manifest of a cartridge: `metadata/manifest.yml`, in YAML.

    Metrics:                            Metrics:
    - php.requests                        php.requests:
    - php.workers                           display_name: Requests
                                            graph_type: line
                                            type: counter

A list says that the cartridge has metrics, and its items are their names, as far as they are known;
a mapping says more of each; `null`, or no such key, that it has none. The form with a list is
OpenShift's proposal; there `enabled` stands in it alone, and is no name. `type`, `unit` and `help`
are our own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from shmetrics.config import yaml_file
from shmetrics.errors import ConfigError
from shmetrics.probes.gear_files import GearFiles

PATH = "metadata/manifest.yml"
MOST_METRICS = 1000
MOST_CHARACTERS = 200  # of a name or a text

_KEY = "Metrics"
_NO_NAME = "enabled"
_TYPES = ("", "counter", "gauge")


class BadManifest(ConfigError):
    """A manifest cannot be used; one line with the file, the key, and the mend."""


class Metric(NamedTuple):
    """A metric as a manifest describes it. What it does not say is "".

    Attributes:
        name: its name in the lines that the cartridge prints.
        display_name: its name for people.
        graph_type: how it is drawn.
        type: "counter" or "gauge".
        unit: the unit of its values.
        help: what it means.
    """

    name: str
    display_name: str = ""
    graph_type: str = ""
    type: str = ""
    unit: str = ""
    help: str = ""


def read(files: GearFiles, cartridge: str) -> dict[str, Metric] | None:
    """Return what the manifest of a cartridge says of its metrics, by name.

    Args:
        files: the files of the gear.
        cartridge: the name of the cartridge's directory.

    Returns:
        None if it has no metrics. An empty dictionary if it has some, and names none.

    Raises:
        BadManifest: the manifest cannot be read, or is not one.
    """
    name = f"{cartridge}/{PATH}"
    path = os.path.join(files.home, name)
    try:
        text = files.read(name, yaml_file.MOST_BYTES)
    except OSError as error:
        raise BadManifest(f"{path}: {error.strerror}") from None
    return parse(text, path)


def parse(text: bytes, path: str) -> dict[str, Metric] | None:
    """Return what the text of a manifest says of metrics, as `read` does. path: for errors."""
    try:
        raw = yaml_file.parse(text, path)
    except ConfigError as error:
        raise BadManifest(str(error)) from None
    said = raw.get(_KEY)
    if said is None:
        return None
    if not isinstance(said, list | dict):
        raise BadManifest(f"{path}: {_KEY}: this has to be a list or a mapping of metrics")
    if len(said) > MOST_METRICS:
        raise BadManifest(f"{path}: {_KEY}: {len(said)} metrics; at most {MOST_METRICS} are taken")
    if isinstance(said, list):
        return {name: Metric(name) for name in _names(said, path) if name != _NO_NAME}
    return {name: _metric(name, said[name], path) for name in _names(list(said), path)}


def _names(names: list[Any], path: str) -> list[str]:
    for name in names:
        if not isinstance(name, str) or not _is_text(name) or not name:
            raise BadManifest(
                f"{path}: {_KEY}: {_shown(name)} is no name of a metric; printable text of at "
                f"most {MOST_CHARACTERS} characters makes one"
            )
    return names


def _metric(name: str, said: Any, path: str) -> Metric:
    if said is None:
        return Metric(name)
    if not isinstance(said, Mapping):
        raise BadManifest(f"{path}: {_KEY}.{name}: this has to be a mapping, or null")
    known = {}
    for key in Metric._fields[1:]:
        value = said.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or not _is_text(value):
            raise BadManifest(
                f"{path}: {_KEY}.{name}.{key}: {_shown(value)} is no printable text of at most "
                f"{MOST_CHARACTERS} characters"
            )
        known[key] = value
    if known.get("type", "") not in _TYPES:
        raise BadManifest(
            f"{path}: {_KEY}.{name}.type: {_shown(known['type'])} is neither counter nor gauge"
        )
    return Metric(name, **known)


def _is_text(text: str) -> bool:
    return text.isprintable() and len(text) <= MOST_CHARACTERS


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
