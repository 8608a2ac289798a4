# SPDX-License-Identifier: Apache-2.0
"""The base class of the tables of a configuration file, which refuses unknown options."""

from __future__ import annotations

from msgspec import Struct


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a configuration file."""
