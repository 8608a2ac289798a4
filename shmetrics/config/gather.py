# SPDX-License-Identifier: Apache-2.0
"""The options of `shmetrics gather`, in a file of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, field

from shmetrics.config.deliver import Deliver
from shmetrics.config.destination import MOST_DESTINATIONS
from shmetrics.config.probe import MOST_PROBES, ProbeOptions
from shmetrics.config.section import Section
from shmetrics.config.spawner import Spawner

LEAST_SECONDS = 10
MOST_STATIC_UNITS = 10_000

Kind = Literal["systemd", "container", "pod", "vm", "gear"]


class StaticUnit(Section, frozen=True, kw_only=True):
    """A unit that no rule finds: a cgroup, and the name under which it is shown."""

    name: Annotated[
        str, Meta(min_length=1, max_length=200, description="What it is called; no other is.")
    ]
    cgroup: Annotated[
        str,
        Meta(
            description="The path of its cgroup below the root of the hierarchies: /jobs/nightly."
        ),
    ]
    uid: (
        Annotated[
            int, Meta(ge=0, le=(1 << 32) - 2, description="The user that its commands run as.")
        ]
        | None
    ) = None
    home: Annotated[str | None, Meta(description="The directory in which its commands run.")] = None

    def __post_init__(self) -> None:
        parts = self.cgroup.split("/")
        if parts[0] or len(parts) < 2 or not all(parts[1:]) or {".", ".."} & set(parts):
            raise ValueError(
                f"cgroup: {self.cgroup!r} is no path below the root, such as /jobs/nightly"
            )
        if self.home is not None and not self.home.startswith("/"):
            raise ValueError(f"home: {self.home!r} is not an absolute path")


EXAMPLE = StaticUnit(name="nightly", cgroup="/jobs/nightly")


class Processes(Section, frozen=True, kw_only=True):
    """Processes, grouped by unit: more than cgroups say, at the cost of a look at each."""

    enabled: Annotated[bool, Meta(description="Whether processes are looked at.")] = False
    pss: Annotated[
        bool,
        Meta(
            description="Whether proportional memory is read, in which shared pages are divided. "
            "To read it holds a lock of the process's memory for some 30 microseconds."
        ),
    ] = False
    pss_seconds: Annotated[
        float,
        Meta(
            ge=0.001, le=10, description="Time for that in each pass; the rest has its turn next."
        ),
    ] = 0.1


class Lines(Section, frozen=True, kw_only=True):
    """Metric lines, which units and programs print: type=metric thread.count=5."""

    socket: Annotated[
        str,
        Meta(
            description="Unix socket that takes lines of `shmetrics run` and `shmetrics push`. "
            "Empty: lines.sock in $RUNTIME_DIRECTORY, or in the collector's directory. "
            '"none": there is none.'
        ),
    ] = ""
    max_line_bytes: Annotated[
        int, Meta(ge=16, le=64 * 1024, description="Bytes of a line that is taken.")
    ] = 2000
    of_units: Annotated[
        bool,
        Meta(
            description="Whether what each pass reads of a unit's cgroups and quota goes to "
            "[[gather.deliver]] as lines, too."
        ),
    ] = False
    stale_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400 * 366,
            description="Time after which a metric leaves that no line has any more. By default, "
            "what a daily job prints stays until the next one.",
        ),
    ] = 86_400.0 * 2
    labels: Annotated[
        list[str],
        Meta(max_length=10, description="Keys of lines that become labels of their series."),
    ] = field(default_factory=lambda: ["cart"])
    metadata: Annotated[
        dict[str, str],
        Meta(description="Variables of a gear's .env, by the key that its lines have for each."),
    ] = field(
        default_factory=lambda: {
            "appName": "OPENSHIFT_APP_NAME",
            "gear": "OPENSHIFT_GEAR_UUID",
            "app": "OPENSHIFT_APP_UUID",
            "ns": "OPENSHIFT_NAMESPACE",
        }
    )


class Scripts(Section, frozen=True, kw_only=True):
    """Commands of units: a cartridge's bin/metrics or bin/control, and the action hook metrics."""

    enabled: Annotated[bool, Meta(description="Whether they are run.")] = True
    timeout_seconds: Annotated[
        float, Meta(ge=0.001, le=3600, description="Time after which one is ended.")
    ] = 1.0
    unit_timeout_seconds: Annotated[
        float,
        Meta(ge=0.001, le=3600, description="Time for all of one unit in an interval."),
    ] = 3.0
    most_at_once: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Commands that run at a time, those of [[gather.probe]] among them.",
        ),
    ] = 8


class Textfile(Section, frozen=True, kw_only=True):
    """Directories of node_exporter's textfile collector, whose *.prom files are read."""

    directories: Annotated[list[str], Meta(max_length=100, description="The directories.")] = field(
        default_factory=list
    )
    stale_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400 * 366,
            description="Age from which the metrics of a file are no longer shown.",
        ),
    ] = 3600.0

    def __post_init__(self) -> None:
        for path in self.directories:
            if not path.startswith("/"):
                raise ValueError(f"directories: {path!r} is not an absolute path")


class Gather(Section, frozen=True, kw_only=True):
    """The things that are gathered, and how often."""

    interval_seconds: Annotated[
        int,
        Meta(ge=LEAST_SECONDS, le=86_400, description="The time from one pass to the next."),
    ] = 60
    kinds: Annotated[
        list[Kind],
        Meta(description="The kinds of units that are looked for. Units of this file always are."),
    ] = field(default_factory=lambda: ["systemd", "container", "pod", "vm", "gear"])
    cgroup_root: Annotated[
        str,
        Meta(
            description="A directory that is laid out as /sys/fs/cgroup, for a gatherer in a "
            "container. Empty: where the hierarchies are mounted."
        ),
    ] = ""
    gears: Annotated[
        str, Meta(description="The directory that has OpenShift's gears. Need not be there.")
    ] = "/var/lib/openshift"
    quota: Annotated[
        bool, Meta(description="Whether disk quotas are read, of units with a user and a home.")
    ] = True
    processes: Processes = field(default_factory=Processes)
    lines: Lines = field(default_factory=Lines)
    scripts: Scripts = field(default_factory=Scripts)
    textfile: Textfile = field(default_factory=Textfile)
    probe: Annotated[
        list[ProbeOptions],
        Meta(max_length=MOST_PROBES, description="Commands that print metrics."),
    ] = field(default_factory=list)
    deliver: Annotated[
        list[Deliver],
        Meta(max_length=MOST_DESTINATIONS, description="Where metric lines are delivered."),
    ] = field(default_factory=list)
    units: Annotated[
        list[StaticUnit],
        Meta(max_length=MOST_STATIC_UNITS, description="Units that no rule finds."),
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        for option in ("name", "cgroup"):
            twice = _twice(getattr(unit, option) for unit in self.units)
            if twice is not None:
                raise ValueError(f"units: two have the {option} {twice!r}; rename one")
        twice = _twice(probe.name for probe in self.probe)
        if twice is not None:
            raise ValueError(f"probe: two have the name {twice!r}; rename one")


class GatherConfig(Section, frozen=True, kw_only=True):
    """The configuration of `shmetrics gather`."""

    gather: Gather = field(default_factory=Gather)
    spawner: Spawner = field(default_factory=Spawner)


def _twice(values: Iterable[str]) -> str | None:
    """Return a value that is there twice, None if there is none."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
