# SPDX-License-Identifier: Apache-2.0
"""The options of `shmetrics gather`, in a file of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from shmetrics.config.section import Section

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
            raise ValueError(f"home: {self.home!r} is no path from the root")


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


class Gather(Section, frozen=True, kw_only=True):
    """What is gathered, and how often."""

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
    units: Annotated[
        list[StaticUnit],
        Meta(max_length=MOST_STATIC_UNITS, description="Units that no rule finds."),
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        for option in ("name", "cgroup"):
            seen: set[str] = set()
            for unit in self.units:
                value = getattr(unit, option)
                if value in seen:
                    raise ValueError(f"units: two have the {option} {value!r}; rename one")
                seen.add(value)


class GatherConfig(Section, frozen=True, kw_only=True):
    """The configuration of `shmetrics gather`."""

    gather: Gather = field(default_factory=Gather)
