# SPDX-License-Identifier: Apache-2.0
"""The options of the collector: type, limits, default and meaning, each written down once.

`shmetrics check --print-default` and docs/configuration.md show the descriptions and the docstrings
of the tables. A limit that a type cannot express is checked in `__post_init__`, with a message that
begins with the option's name: `records: 1000 is not a power of two; try 1024`.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
from typing import Annotated

from msgspec import Meta, field

from shmetrics import layout
from shmetrics.config import address
from shmetrics.config.destination import MOST_DESTINATIONS, check_different
from shmetrics.config.labels import LabelRule
from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.config.section import Section
from shmetrics.config.traces_forward import TracesForward
from shmetrics.label_rules.rule import MAX_RULES
from shmetrics.unix_socket import Access

_KIB = 1024
_MIB = 1024 * _KIB

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_LABELS = ("le", "quantile")


class Lane(Section, frozen=True, kw_only=True):
    """The lane that a process gets first: a file in shared memory, fully allocated at registration.
    The defaults make 500 KiB per process. A process that has more label sets than fit moves to a
    larger lane while it runs, and again, up to what store.max_series_per_lane label sets need; all
    lanes together take no more than registration.max_lane_bytes. Records and open calls stay as
    many as here."""

    records: Annotated[
        int,
        Meta(ge=64, le=256 * _KIB, description="Events that fit into the ring; a power of two."),
    ] = layout.DEFAULT_RECORDS
    dictionary_bytes: Annotated[
        int,
        Meta(
            ge=layout.DEFAULT_DICTIONARY_BYTES,
            le=16 * _MIB,
            multiple_of=8,
            description="Room for the names and label values of the process's series, in its "
            "first lane. A larger one makes moves rarer.",
        ),
    ] = layout.DEFAULT_DICTIONARY_BYTES
    spill_bytes: Annotated[
        int,
        Meta(
            ge=layout.DEFAULT_CELLS * layout.CELL_BYTES,
            le=16 * _MIB,
            multiple_of=layout.CELL_BYTES,
            description="Room for the totals of the process's series, in its first lane: 8 bytes "
            "per counter, 216 per series of calls. Events are added to these totals while the ring "
            "is full or the collector is away; a histogram or a series of calls takes its room "
            "only then.",
        ),
    ] = layout.DEFAULT_CELLS * layout.CELL_BYTES
    open_calls: Annotated[
        int,
        Meta(
            ge=layout.DEFAULT_CALLS,
            le=layout.MAX_OPEN_CALLS,
            description="Open calls that can be listed at a time.",
        ),
    ] = layout.DEFAULT_CALLS

    def __post_init__(self) -> None:
        if self.records & (self.records - 1):
            better = 1 << self.records.bit_length()
            raise ValueError(f"records: {self.records} is not a power of two; try {better}")

    @property
    def cells(self) -> int:
        """Return the number of totals that the spill has room for."""
        return self.spill_bytes // layout.CELL_BYTES

    @property
    def total_bytes(self) -> int:
        """Return the size of a lane in bytes: its file, and the collector's copy of the spill."""
        return layout.lane_bytes(self.records, self.dictionary_bytes, self.cells, self.open_calls)


class Registration(Section, frozen=True, kw_only=True):
    """The users and groups whose processes may have a lane."""

    allow_uids: Annotated[
        str | list[int | str],
        Meta(
            description="Users whose processes may register, by number or name: "
            '["root", "nova", 1000]. "own" is the collector\'s own user and root, "any" is '
            "everybody. A list replaces these: name root in it, if root's processes may register."
        ),
    ] = "own"
    allow_gids: Annotated[
        list[int | str],
        Meta(
            description="Groups whose members may register too, by number or name. Both the "
            "primary group and the supplementary groups of a process count. If a process has more "
            "than 256 supplementary groups, these do not count."
        ),
    ] = field(default_factory=list)
    socket_mode: Annotated[
        int,
        Meta(
            ge=0,
            le=0o777,
            description="Permissions of register.sock. A process that may not write to it cannot "
            "ask for a lane.",
            extra={"octal": True},
        ),
    ] = 0o666
    socket_group: Annotated[
        int | str,
        Meta(
            description="Group of register.sock, by number or name. The collector's user has to "
            "be a member. Empty: the primary group of the collector's user."
        ),
    ] = ""
    max_lanes: Annotated[
        int, Meta(ge=1, le=65536, description="Processes that can be registered at a time.")
    ] = 4096
    max_lanes_per_uid: Annotated[
        int, Meta(ge=1, le=65536, description="The same, of one user.")
    ] = 2048
    max_lane_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="Memory that all lanes together may take. Beyond it no process gets a "
            "lane, or a larger one; what has no room then counts under __overflow__. 0: half of "
            "the file system of the runtime directory.",
        ),
    ] = 0
    max_per_second: Annotated[
        float,
        Meta(
            ge=0.1,
            le=10_000,
            description="Registrations of one user per second. Ten times as many may come at once.",
        ),
    ] = 200.0

    def __post_init__(self) -> None:
        if isinstance(self.allow_uids, str) and self.allow_uids not in ("own", "any"):
            raise ValueError(
                f'allow_uids: {self.allow_uids!r} is neither "own" nor "any" nor a list of users'
            )
        self.uids()
        self.gids()
        self.socket_access()

    def uids(self) -> frozenset[int] | None:
        """Return the numbers of the users that may register, or None for all users.

        Raises:
            ValueError: a user does not exist.
        """
        if self.allow_uids == "any":
            return None
        if isinstance(self.allow_uids, str):
            return frozenset((0, os.geteuid()))
        return frozenset(_uid(user) for user in self.allow_uids)

    def gids(self) -> frozenset[int]:
        """Return the numbers of the groups whose members may register.

        Raises:
            ValueError: a group does not exist.
        """
        return frozenset(_gid("allow_gids", group) for group in self.allow_gids)

    def socket_access(self) -> Access:
        """Return the permissions of register.sock. Raises ValueError for an unknown group."""
        return _access(self.socket_mode, "socket_group", self.socket_group)

    def lets_others_in(self) -> bool:
        """Return whether users other than root and the collector's own may register."""
        uids = self.uids()
        return uids is None or bool(self.allow_gids) or not uids <= {0, os.geteuid()}


class Store(Section, frozen=True, kw_only=True):
    """The limits of totals. Where a limit leaves no room, label sets of dead processes that a
    scrape has shown make room for new ones, the oldest first. Beyond it, label sets count together,
    in one overflow series per family; families are refused. The collector counts both."""

    max_bytes: Annotated[
        int,
        Meta(
            ge=_MIB,
            le=1 << 40,
            description="Largest size of the file with the totals. A change takes effect at the "
            "next start, but never makes the file too small for what it holds.",
        ),
    ] = 256 * _MIB
    max_bytes_per_uid: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="The part of it that one user's processes may fill. 0: half.",
        ),
    ] = 0
    max_series_per_family: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Label sets that one user's processes may have in one family. Those of "
            "gauges and of observed counters are not among them as long as their process lives.",
        ),
    ] = 20_000
    max_series_per_lane: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Label sets of one process, in all families: as many as a gatherer has of "
            "some 2,000 units. Its lane grows as far as these need.",
        ),
    ] = 100_000
    max_families: Annotated[
        int, Meta(ge=1, le=100_000, description="Metric families of all processes together.")
    ] = 2000
    max_families_per_uid: Annotated[
        int,
        Meta(ge=1, le=100_000, description="The same, defined by one user's processes."),
    ] = 1000
    max_families_per_lane: Annotated[
        int, Meta(ge=1, le=100_000, description="Metric families that one process may define.")
    ] = 500
    max_label_bytes: Annotated[
        int, Meta(ge=16, le=16 * _KIB, description="Bytes of one label value, in UTF-8.")
    ] = 1024
    max_exemplars: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description="Exemplars: traces that are shown beside a counter or a bucket, one for "
            "each. Beyond the limit, a new one replaces the one that was not renewed for longest. "
            "0: none.",
        ),
    ] = 20_000
    native_histograms: Annotated[
        bool,
        Meta(
            description="Whether histograms are also counted in the buckets of native histograms. "
            "A label set of a histogram then takes 2 KiB, instead of 200 bytes. Families that the "
            "store has already stay as they are."
        ),
    ] = True
    series_idle_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=366 * 86400,
            description="Time after which a series that does not change leaves /metrics. 0: "
            "never. As long as its process lives, its total is kept, and the series comes back "
            "when it changes again.",
        ),
    ] = 0.0
    old_shape_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=366 * 86400,
            description="Time for which the series of an old definition of a metric, with other "
            "labels or buckets, stay on /metrics after the last process that had it. 0: not at "
            "all.",
        ),
    ] = 300.0
    dead_gauge_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=366 * 86400,
            description="Time after which a gauge of a process that has ended leaves /metrics, in "
            "modes with a series per process. 0: never.",
        ),
    ] = 300.0


class Traces(Section, frozen=True, kw_only=True):
    """The traces of requests, which services record as spans. If they are too many, too large or
    too old, whole traces are removed, in the order in which their first spans arrived."""

    enabled: Annotated[bool, Meta(description="Whether traces are kept.")] = True
    path: Annotated[
        str,
        Meta(description="The file of the traces. Empty: traces.db in the runtime directory."),
    ] = ""
    max_bytes: Annotated[
        int,
        Meta(
            ge=_MIB,
            le=1 << 40,
            description="Largest size of that file and its journal together, at any moment.",
        ),
    ] = 128 * _MIB
    max_traces: Annotated[
        int, Meta(ge=1, le=100_000_000, description="Number of traces that are kept.")
    ] = 100_000
    max_age_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=366 * 86400,
            description="How long a trace is kept after its last span arrived. Only time counts "
            "in which the machine runs.",
        ),
    ] = 7 * 86400.0
    max_spans_per_trace: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Spans of one trace that are kept.")
    ] = 10_000
    forward: Annotated[list[TracesForward], Meta(max_length=MOST_DESTINATIONS)] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        check_different(one.destination.name for one in self.forward)


class Metrics(Section, frozen=True, kw_only=True):
    """The destinations of metrics, beside being scraped."""

    forward: Annotated[list[MetricsForward], Meta(max_length=MOST_DESTINATIONS)] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        check_different(one.to for one in self.forward)


class Web(Section, frozen=True, kw_only=True):
    """The limits of a client of the HTTP server, and its answers. A client that takes longer, or
    sends more, is cut off, and shmetrics_http_refused_total counts it."""

    max_connections: Annotated[
        int,
        Meta(
            ge=4,
            le=65536,
            description="Connections at a time. Beyond the limit, a new one replaces the one that "
            "has waited longest for its client.",
        ),
    ] = 256
    max_head_bytes: Annotated[
        int,
        Meta(ge=1024, le=_MIB, description="Bytes of a request. Requests with a body are refused."),
    ] = 16 * _KIB
    max_headers: Annotated[
        int, Meta(ge=8, le=4096, description="Number of headers of a request.")
    ] = 64
    max_waiting_bytes: Annotated[
        int,
        Meta(
            ge=_MIB,
            le=1 << 40,
            description="Memory for answers that clients have not taken yet. One answer that many "
            "clients share counts once.",
        ),
    ] = 256 * _MIB
    request_seconds: Annotated[
        float,
        Meta(ge=0.1, le=3600, description="Time to send a request, including the TLS handshake."),
    ] = 10.0
    answer_seconds: Annotated[
        float, Meta(ge=0.1, le=3600, description="Time to take an answer.")
    ] = 60.0
    idle_seconds: Annotated[
        float, Meta(ge=0.1, le=3600, description="Time between two requests of one connection.")
    ] = 90.0
    created_samples: Annotated[
        bool,
        Meta(
            description="OpenMetrics says since when each counter and histogram counts, in a "
            "sample with the suffix _created. Prometheus keeps it as a series of its own, unless "
            "it runs with --enable-feature=created-timestamp-zero-ingestion. Protocol buffers "
            "always have these times, which cost no series there.",
        ),
    ] = False


class Config(Section, frozen=True, kw_only=True):
    """Configuration of the collector. Every option may be left out."""

    listen: Annotated[
        str,
        Meta(
            description="HOST:PORT of the HTTP server: /metrics, the JSON API and a page. "
            'Port 0: any free port. No host, as in ":9464": every interface.'
        ),
    ] = "127.0.0.1:9464"
    web_config: Annotated[
        str,
        Meta(
            description="File with TLS, client certificates and passwords of the HTTP server, in "
            "the format of Prometheus's exporters. The collector reads it again when it changes. "
            "Empty: none of these."
        ),
    ] = ""
    runtime_dir: Annotated[
        str,
        Meta(
            description="Directory in which emitters and collector meet, best on tmpfs. Empty: "
            "the first that exists or can be made of $SHMETRICS_RUNTIME_DIR, /run/shmetrics, "
            "$XDG_RUNTIME_DIR/shmetrics and /tmp/shmetrics-UID."
        ),
    ] = ""
    tick_seconds: Annotated[
        float, Meta(ge=0.01, le=60, description="Time between two drains of all lanes.")
    ] = 1.0
    constant_labels: Annotated[
        dict[str, str],
        Meta(description="Labels that every series gets. By default the node's name; {}: none."),
    ] = field(default_factory=lambda: {"hostname": socket.gethostname()})
    oslo_metrics_socket: Annotated[
        str,
        Meta(
            description="Unix datagram socket for services that speak oslo.metrics's own protocol. "
            "These send to /var/tmp/metrics_collector.sock by default. Empty: off."
        ),
    ] = ""
    oslo_metrics_socket_mode: Annotated[
        int,
        Meta(
            ge=0,
            le=0o777,
            description="Permissions of that socket. A process that may write to it may send.",
            extra={"octal": True},
        ),
    ] = 0o660
    oslo_metrics_socket_group: Annotated[
        int | str,
        Meta(
            description="Group of that socket, by number or name. The collector's user has to be "
            "a member. Empty: the primary group of the collector's user."
        ),
    ] = ""
    lane: Lane = field(default_factory=Lane)
    registration: Registration = field(default_factory=Registration)
    store: Store = field(default_factory=Store)
    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)
    web: Web = field(default_factory=Web)
    labels: Annotated[list[LabelRule], Meta(max_length=MAX_RULES)] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            address.parse(self.listen)
        except ValueError as error:
            raise ValueError(f"listen: {error}") from None
        self.oslo_metrics_access()
        for name in self.constant_labels:
            if not _LABEL_NAME.fullmatch(name) or name.startswith("__"):
                raise ValueError(
                    f"constant_labels.{name}: {name!r} is not a label name; letters, digits and _ "
                    "make one, and it begins with no digit and no __"
                )
            if name in _RESERVED_LABELS:
                raise ValueError(f"constant_labels.{name}: {name!r} is Prometheus's own; rename it")

    def oslo_metrics_access(self) -> Access:
        """Return the permissions of the oslo.metrics socket.

        Raises:
            ValueError: the group does not exist.
        """
        return _access(
            self.oslo_metrics_socket_mode,
            "oslo_metrics_socket_group",
            self.oslo_metrics_socket_group,
        )

    @property
    def address(self) -> address.Address:
        """Return `listen`, parsed."""
        return address.parse(self.listen)


def _access(mode: int, option: str, group: int | str) -> Access:
    return Access(mode, None if group == "" else _gid(option, group))


def _uid(user: int | str) -> int:
    if isinstance(user, int):
        return _checked("allow_uids", user, "user")
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"allow_uids: there is no user {user!r} on this node") from None


def _gid(option: str, group: int | str) -> int:
    if isinstance(group, int):
        return _checked(option, group, "group")
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"{option}: there is no group {group!r} on this node") from None


def _checked(option: str, number: int, what: str) -> int:
    if not 0 <= number < 2**32 - 1:
        raise ValueError(f"{option}: {number} is not the number of a {what}")
    return number
