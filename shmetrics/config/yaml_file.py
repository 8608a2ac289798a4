# SPDX-License-Identifier: Apache-2.0
"""YAML files in the formats that Prometheus's programs share: read strictly, and without a word of
their contents in an error, which may be a secret."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shmetrics.config import problem
from shmetrics.errors import ConfigError

Contents = TypeVar("Contents", bound=msgspec.Struct)


def read(path: str, schema: type[Contents]) -> tuple[Contents, set[str]]:
    """The contents, and which of the schema's keys are there.

    Raises ConfigError: one line with file, key, and what is wrong.
    """
    raw = _load(path)
    try:
        return msgspec.convert(raw, schema), set(raw)
    except msgspec.ValidationError as error:
        option, what = problem.explain(error, raw, schema)
        ours = isinstance(error.__cause__, ValueError) or "no such option" in what
        what = what if ours else f"this has to be {what.rpartition(' is not ')[2]}"
    raise ConfigError(f"{path}: {option}: {what}")


def _load(path: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            f"{path}: PyYAML reads this file and is not installed; pip install "
            "'shmetrics[collector]'"
        ) from None
    try:
        with open(path, encoding="utf-8") as file:
            root = yaml.compose(file, yaml.SafeLoader)
            _check(root)
            file.seek(0)
            raw = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}this is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"{path}: this is not YAML in UTF-8") from None
    raw = {} if raw is None else raw
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ConfigError(f"{path}: these are not keys with values")
    return raw


def _check(node: Any) -> None:
    """Looks for what PyYAML lets pass: of two equal keys it takes the second, and half of a
    surrogate pair is text to it. Raises yaml.MarkedYAMLError, UnicodeEncodeError."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            _check(value)
            _check(key)
    elif isinstance(node, yaml.ScalarNode):
        node.value.encode()
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check(item)
