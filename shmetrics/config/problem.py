# SPDX-License-Identifier: Apache-2.0
"""Explanation of msgspec's errors in one line: the option, its value, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from shmetrics.config import described

_AT = re.compile(r"(?P<what>.*?)(?: - at `(?:key` in `)?\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_EXPECTED = re.compile(
    r"Expected `(.*?)`(?: of length (?P<bound>[<>])= (?P<length>\d+)"
    r"| matching regex '\^?(?P<pattern>.*?)(?:\$|\\\\Z)?')?",
    re.DOTALL,
)
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "object": "a table",
    "int | str": "a number or a name",
    "array": "a list",
    "str | array": "a string or a list",
}


def explain(
    error: msgspec.ValidationError, raw: Mapping[str, Any], schema: type[msgspec.Struct]
) -> tuple[str, str]:
    """Explain an error of a configuration.

    Args:
        error: msgspec's error.
        raw: the decoded configuration.
        schema: the type that it should have.

    Returns:
        The dotted name of the option, and what is wrong with it.
    """
    match = _AT.fullmatch(str(error))
    assert match is not None  # the pattern matches every string
    what, path = match["what"], (match["path"] or "").replace("[...]", "")
    parts = [part for part in path.split(".") if part]
    missing = _MISSING.match(what)
    if missing:
        return _join(parts, missing[1]), "this option is required"
    unknown = _UNKNOWN.match(what)
    if unknown:
        return _join(parts, unknown[1]), f"no such option; {_known(parts, unknown[1], schema)}"
    if isinstance(error.__cause__, ValueError):  # from our checks: "option: what is wrong"
        option, what = what.split(": ", 1)
        return _join(parts, option), what
    return path, f"{_shown(_value(raw, path))} is not {_wanted(what, parts, schema)}"


def _join(parts: list[str], name: str) -> str:
    return ".".join([*parts, name])


def _table(parts: list[str], schema: type[msgspec.Struct]) -> type[msgspec.Struct]:
    for part in parts:
        name = part.partition("[")[0]
        schema = {**described.tables(schema), **described.lists(schema)}.get(name, schema)
    return schema


def _known(parts: list[str], name: str, schema: type[msgspec.Struct]) -> str:
    """Return a hint for an unknown option: the nearest known one, or all known ones."""
    import difflib  # only loaded for errors

    names = [field.encode_name for field in msgspec.structs.fields(_table(parts, schema))]
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def _wanted(what: str, parts: list[str], schema: type[msgspec.Struct]) -> str:
    expected = _EXPECTED.match(what)
    words = _WORDS.get(expected[1], expected[1]) if expected else what
    if expected and expected["length"]:
        if expected["bound"] == ">":
            return f"{words} that is not empty"
        return f"{words} of at most {expected['length']}"
    if expected and expected["pattern"]:
        return f"{words} that fits {expected['pattern']}"
    section = _table(parts[:-1], schema)
    choices = described.choices(section, "".join(parts[-1:]).partition("[")[0])
    if choices and (not expected or expected[1] == "str"):
        return f"one of {', '.join(choices)}"
    for option in described.options(section):
        if parts[-1:] == [option.name]:
            return f"{words} {option.limits}".rstrip()
    return words


def _value(raw: Any, path: str) -> Any:
    """Return the value at a path like `lane.records` or `registration.allow_uids[0]`."""
    for part in re.findall(r"[^.\[\]]+", path):
        raw = raw[int(part)] if isinstance(raw, list) else raw[part]
    return raw


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
