# SPDX-License-Identifier: Apache-2.0
"""A probe, and the result of a run of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from shmetrics.config.probe import Format
from shmetrics.probes.manifest import Metric

#: A probe as the schedule knows it: the names of its unit and of itself.
Key = tuple[str, str]

#: The kind of a probe of the configuration, which is a unit of its own.
KIND: Final = "probe"


class Owner(NamedTuple):
    """The unit of a probe.

    Attributes:
        unit: its name.
        kind: such as "gear".
        uid: the user who runs its commands.
        home: its directory.
    """

    unit: str
    kind: str
    uid: int
    home: str


class Probe(NamedTuple):
    """A command that prints metrics.

    Attributes:
        owner: the unit that it is of.
        name: its name, which no other probe of the unit has.
        command: the absolute path of a program, and its arguments.
        interval_seconds: the time between two starts.
        timeout_seconds: the time after which it is ended.
        format: "lines", "prometheus" for the text format, or "files" of a gear (gear_files.py).
        directory: where it runs.
        environment: variables beside the usual ones.
        cart: the name of the cartridge that it comes from; "" for any other.
        metrics: what its manifest says of its metrics, by name.
    """

    owner: Owner
    name: str
    command: tuple[str, ...]
    interval_seconds: float = 60.0
    timeout_seconds: float = 1.0
    format: Format | Literal["files"] = "lines"
    directory: str = "/"
    environment: Mapping[str, str] = {}
    cart: str = ""
    metrics: Mapping[str, Metric] = {}

    @property
    def key(self) -> Key:
        """Return its name among all probes."""
        return self.owner.unit, self.name


class Result(NamedTuple):
    """The result of a run of a probe.

    Attributes:
        probe: the probe.
        success: it ended by itself, with status 0.
        duration_seconds: the time from its start to its end; 0 if it did not start.
        exit_code: its exit status; of a program that a signal ended, minus the signal's number; -1
            if it did not start.
        problem: why there is no success, in one line; "" if there is.
        last_error: the last line that it wrote to STDERR, printable and cut short.
    """

    probe: Probe
    success: bool
    duration_seconds: float
    exit_code: int
    problem: str = ""
    last_error: str = ""
