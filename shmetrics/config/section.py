# SPDX-License-Identifier: Apache-2.0
"""What the tables of a configuration file have in common."""

from __future__ import annotations

from msgspec import Struct


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the tables of a configuration file."""
