# SPDX-License-Identifier: Apache-2.0
"""A configuration written down as TOML, with each option's meaning and limits above it."""

from __future__ import annotations

import inspect
import json
import textwrap
from typing import Any

from shmetrics.config import described
from shmetrics.config.options import Config, Section

WIDTH = 96


def commented(config: Config) -> str:
    """TOML that loads as just this configuration."""
    return "\n".join(_table(config, "")).rstrip("\n") + "\n"


def _table(section: Section, name: str) -> list[str]:
    lines = _comment(inspect.cleandoc(type(section).__doc__ or "").replace("\n", " "))
    lines += [f"[{name}]", ""] if name else [""]
    for option in described.options(type(section)):
        limits = f" {option.limits[0].upper()}{option.limits[1:]}." if option.limits else ""
        lines += _comment(option.meaning + limits)
        lines += [f"{option.name} = {_toml(getattr(section, option.name), option.octal)}", ""]
    for inner in described.tables(type(section)):
        lines += _table(getattr(section, inner), f"{name}.{inner}".lstrip("."))
    return lines


def _comment(text: str) -> list[str]:
    return ["# " + line for line in textwrap.wrap(text, WIDTH)]


def _toml(value: Any, octal: bool = False) -> str:
    if octal:
        return f"0o{value:o}"
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):  # JSON's escapes are TOML's too, which wants one more
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
