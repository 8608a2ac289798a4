# SPDX-License-Identifier: Apache-2.0
"""A configuration as TOML, with the meaning and the limits of each option above it."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from shmetrics.config import (
    deliver,
    described,
    gather,
    labels,
    metrics_forward,
    probe,
    traces_forward,
)
from shmetrics.config.section import Section

WIDTH = 96

# Arrays of tables are empty by default. These examples are shown then.
_EXAMPLES: dict[type[Section], Section] = {
    labels.LabelRule: labels.EXAMPLE,
    traces_forward.TracesForward: traces_forward.EXAMPLE,
    metrics_forward.MetricsForward: metrics_forward.EXAMPLE,
    probe.ProbeOptions: probe.EXAMPLE,
    deliver.Deliver: deliver.EXAMPLE,
    gather.StaticUnit: gather.EXAMPLE,
}


def commented(config: Section) -> str:
    """Return TOML that loads as this configuration: a collector's, or a gatherer's."""
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
    for many, kind in described.lists(type(section)).items():
        lines += _tables(getattr(section, many), kind, f"{name}.{many}".lstrip("."))
    return lines


def _tables(sections: Sequence[Section], kind: type[Section], name: str) -> list[str]:
    """Return the lines of an array of tables; if it is empty, an example in comments."""
    meaning = inspect.cleandoc(kind.__doc__ or "").replace("\n", " ")
    lines = _comment(meaning if sections else f"{meaning} For example:")
    mark = "" if sections else "# "
    for section in sections or [_EXAMPLES[kind]]:
        lines += ["", f"{mark}[[{name}]]"]
        lines += [f"{mark}{option} = {_toml(value)}" for option, value in _changed(section)]
    return [*lines, ""]


def _changed(section: Section) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of the options that differ from their defaults."""
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if value != default:
            yield field.encode_name, value


def _comment(text: str) -> list[str]:
    return ["# " + line for line in textwrap.wrap(text, WIDTH)]


def _toml(value: Any, octal: bool = False) -> str:
    if octal:
        return f"0o{value:o}"
    if isinstance(value, Section):
        value = dict(_changed(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):  # TOML has JSON's escapes, and requires one more
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
