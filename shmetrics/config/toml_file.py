# SPDX-License-Identifier: Apache-2.0
"""TOML files, read within bounds."""

from __future__ import annotations

import sys
from typing import Any

from shmetrics import plain_file
from shmetrics.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]


def read(path: str) -> dict[str, Any]:
    """Return the table of a TOML file. Never waits. Raises ConfigError, one line."""
    try:
        table: dict[str, Any] = tomllib.loads(plain_file.read(path).decode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: this is nested too deeply") from None
    return table
