# SPDX-License-Identifier: Apache-2.0
"""The description of options, from their types: meaning, limits, notation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect as schema


class Option(NamedTuple):
    """One option of a table.

    Attributes:
        name: its name.
        meaning: its description.
        limits: such as "from 1 to 60", or "" if the type has no limits.
        octal: its value is written as an octal number.
    """

    name: str
    meaning: str
    limits: str
    octal: bool


def options(section: type[msgspec.Struct]) -> Iterator[Option]:
    """Yield the options of a table in the order of their definition, without inner tables."""
    for field in msgspec.structs.fields(section):
        found = schema.type_info(field.type)
        if isinstance(found, schema.StructType) or field.encode_name in lists(section):
            continue
        meta = found if isinstance(found, schema.Metadata) else schema.Metadata(found)
        octal = bool((meta.extra or {}).get("octal"))
        meaning = str((meta.extra_json_schema or {}).get("description", ""))
        yield Option(field.encode_name, meaning, _limits(meta.type, octal), octal)


def tables(section: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the types of the inner tables of a table, by name."""
    return {
        field.encode_name: field.type
        for field in msgspec.structs.fields(section)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    }


def lists(section: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the types of the arrays of tables in a table, such as `[[labels]]`, by name."""
    found = {}
    for field in msgspec.structs.fields(section):
        kind = schema.type_info(field.type)
        items = getattr(kind.type if isinstance(kind, schema.Metadata) else kind, "item_type", None)
        if isinstance(items, schema.StructType):
            found[field.encode_name] = items.cls
    return found


def choices(section: type[msgspec.Struct], name: str) -> tuple[str, ...]:
    """Return the words that an option may be, or its items if it is a list; () if it may be any."""
    for field in msgspec.structs.fields(section):
        if field.encode_name == name:
            kind = schema.type_info(field.type)
            kind = kind.type if isinstance(kind, schema.Metadata) else kind
            kind = getattr(kind, "item_type", kind)
            if isinstance(kind, schema.LiteralType):
                return tuple(map(str, kind.values))
    return ()


def _limits(type_: schema.Type, octal: bool) -> str:
    if not isinstance(type_, (schema.IntType, schema.FloatType)) or type_.ge is None:
        return ""
    if octal:
        return f"from 0o{type_.ge:o} to 0o{type_.le:o}"
    text = f"from {type_.ge:,} to {type_.le:,}".replace(",", "_")
    return f"{text}, in steps of {type_.multiple_of}" if type_.multiple_of else text
