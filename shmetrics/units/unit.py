# SPDX-License-Identifier: Apache-2.0
"""A unit: something that a node runs, and that has a cgroup of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

SYSTEMD: Final = "systemd"
CONTAINER: Final = "container"
POD: Final = "pod"
VM: Final = "vm"
GEAR: Final = "gear"
STATIC: Final = "static"
KINDS: Final = (SYSTEMD, CONTAINER, POD, VM, GEAR, STATIC)

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class Unit(NamedTuple):
    """A unit in one of its lives.

    Attributes:
        kind: one of KINDS.
        name: a name that stays the same when the unit is started again, if it has one.
        id: the path of its cgroup below the root of the hierarchies: `/system.slice/x.service`.
        generation: the inode of its cgroup; another one is another life, and its counters begin
            anew.
        directories: its directory, by cgroup v1's controllers, and `unified` for v2.
        uid: the user that its commands run as; None: not known.
        home: that user's directory; None: not known.
        labels: what state files say of it: `name`, `image`, `pod`, `namespace`, ...
    """

    kind: str
    name: str
    id: str
    generation: int = 0
    directories: Mapping[str, str] = _NOTHING
    uid: int | None = None
    home: str | None = None
    labels: Mapping[str, str] = _NOTHING
