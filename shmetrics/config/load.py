# SPDX-License-Identifier: Apache-2.0
"""Loading of the configuration: defaults, then the file, oslo.metrics's file, and the flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from shmetrics.config import oslo, problem, toml_file
from shmetrics.config.options import Config
from shmetrics.config.section import Section
from shmetrics.errors import ConfigError

Contents = TypeVar("Contents", bound=Section)


class Layer(NamedTuple):
    """The options from one source. A later layer overrides an earlier one."""

    origin: str  # the path of a file, or a flag
    options: dict[str, Any]


def load(path: str = "", oslo_path: str = "", flags: Mapping[str, str] | None = None) -> Config:
    """Return the configuration of a collector.

    Args:
        path: a TOML file, or "".
        oslo_path: a configuration file of oslo.metrics, or "".
        flags: values by their flag, such as `{"--runtime-dir": "/run/shmetrics"}`.

    Raises:
        ConfigError: one line that names the place, the option, its value, and what is allowed.
    """
    layers = []
    if path:
        layers.append(Layer(path, toml_file.read(path)))
    if oslo_path:
        layers.append(Layer(oslo_path, oslo.read(oslo_path)))
    for flag, value in (flags or {}).items():
        layers.append(Layer(flag, {flag.lstrip("-").replace("-", "_"): value}))
    return _merge(layers, Config)


def load_file(path: str, schema: type[Contents]) -> Contents:
    """Return the configuration of another process than a collector.

    Args:
        path: a TOML file, or "" for the defaults.
        schema: the type of its contents.

    Raises:
        ConfigError: one line that names the file, the option, its value, and what is allowed.
    """
    return _merge([Layer(path, toml_file.read(path))] if path else [], schema)


def _merge(layers: list[Layer], schema: type[Contents]) -> Contents:
    raw: dict[str, Any] = {}
    for layer in layers:
        raw.update(layer.options)
    try:
        return msgspec.convert(raw, schema)
    except msgspec.ValidationError as error:
        option, what = problem.explain(error, raw, schema)
    # The error is in the last layer that sets the option or its table.
    top = re.split(r"[.\[]", option)[0]
    origin = next((layer.origin for layer in reversed(layers) if top in layer.options), "")
    place = origin if origin.startswith("--") else ": ".join(filter(None, (origin, option)))
    raise ConfigError(f"{place}: {what}")
