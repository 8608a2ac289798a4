# SPDX-License-Identifier: Apache-2.0
"""The options of the spawner, which runs the commands of probes, and may be root.

They are in the file of the gatherer, so that both have the same `[[gather.probe]]`. What else is in
that file is the gatherer's, and not looked at here.
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from msgspec import Meta, field

from shmetrics.config import problem, toml_file
from shmetrics.config.probe import ProbeOptions, user_number
from shmetrics.config.section import Section
from shmetrics.errors import ConfigError

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


class Spawner(Section, frozen=True, kw_only=True):
    """The process that runs the commands of probes. It runs nothing but the commands of
    [[gather.probe]], and programs of units below `directories`."""

    socket: Annotated[
        str, Meta(description="Unix socket on which gatherers ask it, if none started it.")
    ] = "/run/shmetrics-spawner/spawner.sock"
    user: Annotated[
        int | str,
        Meta(
            description="The user of the gatherer, by number or name: nobody else, but for root, "
            "may ask. Empty: the spawner's own user."
        ),
    ] = ""
    directories: Annotated[
        list[str],
        Meta(
            max_length=100,
            description="Directories of units. A program below one of them may be run, alone or "
            'with the argument "metrics".',
        ),
    ] = field(default_factory=lambda: ["/var/lib/openshift"])
    allow_root: Annotated[bool, Meta(description="Whether uid 0 may run a command.")] = False
    cgroups: Annotated[
        bool,
        Meta(
            description="Whether each command runs in a cgroup of its own, where that is possible "
            "(cgroup v2, Linux 5.14). Without, what it leaves behind is told by its session and "
            "its user."
        ),
    ] = True
    most_at_once: Annotated[
        int, Meta(ge=1, le=1000, description="Commands that run at a time.")
    ] = 8
    longest_seconds: Annotated[
        float, Meta(ge=0.1, le=86400, description="Longest time that a command may be given.")
    ] = 3600.0
    memory_bytes: Annotated[
        int, Meta(ge=16 * _MIB, le=1 << 50, description="Address space of each process.")
    ] = 4 * _GIB
    processes: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Processes and threads of the user who runs a command: all of them "
            "count, not those of the command alone.",
        ),
    ] = 4096
    file_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 50,
            description="Size to which a file may grow that a command writes to; a log file may "
            "be large already.",
        ),
    ] = _GIB
    nice: Annotated[int, Meta(ge=0, le=19, description="How far others go first.")] = 10

    def __post_init__(self) -> None:
        self.uid(0)
        for path in self.directories:
            if not os.path.isabs(path) or os.path.normpath(path) != path.rstrip("/"):
                raise ValueError(
                    f"directories: {path!r} is not the absolute path of a directory, without . and "
                    ".. in it"
                )

    def uid(self, own_uid: int) -> int:
        """Return the number of the gatherer's user. Raises ValueError if there is none."""
        return own_uid if self.user == "" else user_number("user", self.user)


class _Gather(msgspec.Struct, frozen=True):
    probe: list[ProbeOptions] = field(default_factory=list)


class SpawnerFile(msgspec.Struct, frozen=True):
    """The part of a configuration file that the spawner takes."""

    spawner: Spawner = field(default_factory=Spawner)
    gather: _Gather = field(default_factory=_Gather)

    @property
    def probes(self) -> list[ProbeOptions]:
        """Return the probes of the configuration."""
        return self.gather.probe


def load(path: str = "") -> SpawnerFile:
    """Return the spawner's part of a configuration file; without one, the defaults.

    Raises:
        ConfigError: one line with the file, the option, its value, and what is allowed.
    """
    raw = toml_file.read(path) if path else {}
    try:
        return msgspec.convert(raw, SpawnerFile)
    except msgspec.ValidationError as error:
        option, what = problem.explain(error, raw, SpawnerFile)
    raise ConfigError(f"{path}: {option}: {what}")
