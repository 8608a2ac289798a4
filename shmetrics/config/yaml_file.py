# SPDX-License-Identifier: Apache-2.0
"""YAML files in the formats that Prometheus's programs share.

They are read strictly and within bounds. An error never quotes their contents, which may be secret.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shmetrics import plain_file
from shmetrics.config import problem
from shmetrics.errors import ConfigError

MOST_BYTES = 256 * 1024

Contents = TypeVar("Contents", bound=msgspec.Struct)


def load(path: str) -> bytes:
    """Return the bytes of a file. Never waits. Raises ConfigError, one line."""
    try:
        return plain_file.read(path, MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def decode(text: bytes, path: str, schema: type[Contents]) -> tuple[Contents, dict[str, Any]]:
    """Decode a YAML file.

    Args:
        text: its bytes.
        path: its path, for errors.
        schema: the type of its contents.

    Returns:
        The contents, and the keys and values as they were written.

    Raises:
        ConfigError: one line with the file, the key, and what is wrong.
    """
    raw = parse(text, path)
    try:
        return msgspec.convert(raw, schema), raw
    except msgspec.ValidationError as error:
        option, what = problem.explain(error, raw, schema)
        ours = isinstance(error.__cause__, ValueError) or "no such option" in what
        what = what if ours else f"this has to be {what.rpartition(' is not ')[2]}"
    raise ConfigError(f"{path}: {option}: {what}")


def parse(text: bytes, path: str) -> dict[str, Any]:
    """Return the keys and values of a YAML file, which has no aliases. Raises ConfigError."""
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            f"{path}: PyYAML reads this file and is not installed; pip install "
            "'shmetrics[collector]'"
        ) from None
    try:
        raw = _construct(yaml.SafeLoader(text.decode()))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}this is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"{path}: this is not YAML in UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path}: this is nested too deeply") from None
    if raw is None:
        raise ConfigError(f"{path}: this file is empty; write {{}} if that is intended")
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ConfigError(f"{path}: this is not a table of keys and values")
    return raw


def _construct(loader: Any) -> Any:
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check(node: Any, seen: set[int]) -> None:
    """Check what PyYAML accepts and these formats do not.

    PyYAML takes the second of two equal keys, and accepts half of a surrogate pair as text. Aliases
    are not part of these formats: a few of them can stand for more than any memory holds.

    Args:
        node: the node to check, with all below it.
        seen: the ids of the nodes that were checked.

    Raises:
        yaml.MarkedYAMLError: a key or an alias is wrong.
        ValueError: a text is not Unicode.
    """
    import yaml

    if id(node) in seen:
        raise yaml.MarkedYAMLError(
            problem="an alias uses this value again; write it out",
            problem_mark=node.start_mark,
        )
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise yaml.MarkedYAMLError(
                        problem=f"{key.value} is there twice; remove one",
                        problem_mark=key.start_mark,
                    )
                keys.add(key.value)
            _check(value, seen)
            _check(key, seen)
    elif isinstance(node, yaml.ScalarNode):
        node.value.encode()
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check(item, seen)
