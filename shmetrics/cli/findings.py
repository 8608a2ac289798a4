# SPDX-License-Identifier: Apache-2.0
"""The checks of `shmetrics check`: of a runtime directory, its collector and a configuration.

Each function checks one thing and changes nothing. A finding that is wrong says how to mend it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from shmetrics import runtime_dir
from shmetrics.cli.columns import printable
from shmetrics.cli.lane_text import problems_of, process_of
from shmetrics.client import collector_client
from shmetrics.errors import ShmetricsError
from shmetrics.version import __version__

if TYPE_CHECKING:
    from shmetrics.config import Config
    from shmetrics.config.address import Address
    from shmetrics.config.metrics_forward import MetricsForward
    from shmetrics.forwarding.sender import Sender

MAX_SOCKET_PATH_BYTES = 107
ROOMY_LANES = 100  # less room than for this many lanes is reported


class Finding(NamedTuple):
    """One line of the result.

    Attributes:
        good: nothing has to be done.
        text: the finding, and the mend if it is not good.
        is_checked: False if it could not be checked here, and is for a person to look at.
    """

    good: bool
    text: str
    is_checked: bool = True


_MORE_ROOM = (
    "use fewer label values, or raise what bounds its lane: registration.max_lane_bytes, "
    "store.max_series_per_lane"
)

# How to mend events that an emitter had to drop, by cause.
_MENDS = {
    "lane_full": _MORE_ROOM,
    "oversized": "shorten the metric's help, labels or buckets",
    "bad_value": "the service records a value that is not a number, or a negative count",
    "bad_labels": "the service calls labels() with names that the metric does not have",
    "foreign_call": "the service ends a call in another process than began it",
    "untracked_call": "raise lane.open_calls; these calls were counted, but not listed while open",
    "no_memory": "the service was out of memory",
    "span": "starts and stops of spans found no room in their ring, or came before its process had "
    "one; see lane.records",
    "bad_exemplar": "the events count; their exemplars are no trace_id of 32 digits with a span_id "
    "of 16, or have other labels",
}


def directory(path: str) -> Iterator[Finding]:
    """Check whether emitters and a collector can use a directory, and others cannot interfere."""
    try:
        problem = runtime_dir.distrust(path)
    except OSError as error:
        yield Finding(False, f"{path}: {error.strerror}; a collector makes it when it starts")
        return
    if problem:
        yield Finding(False, f"{path}: {problem}; use a directory of your own")
    if not os.path.isdir(path):
        return
    socket_path = os.path.join(path, runtime_dir.SOCKET_NAME)
    if len(os.fsencode(socket_path)) > MAX_SOCKET_PATH_BYTES:
        yield Finding(False, f"{socket_path}: too long for a unix socket; use a shorter path")
    kind = filesystem(path)
    if kind == "tmpfs":
        yield Finding(True, f"{path}: a directory on tmpfs")
    else:
        yield Finding(
            False,
            f"{path}: on {kind}, so that what is recorded is written to disk; "
            "use /run/shmetrics, or mount a tmpfs there",
        )


def filesystem(path: str, mounts: str = "/proc/self/mounts") -> str:
    """Return the type of the file system of a path.

    Args:
        path: the path.
        mounts: the file that lists the mounts.
    """
    real = os.path.realpath(path)
    best, kind = "", "an unknown file system"
    with open(mounts, encoding="utf-8", errors="replace") as file:
        for line in file:
            point, type_ = line.split()[1:3]
            point = point.replace("\\040", " ")
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, type_
    return kind


def lane_memory(path: str, lane_bytes: int) -> Iterator[Finding]:
    """Check whether there is memory for more lanes, of *lane_bytes* each."""
    try:
        status = os.statvfs(path)
    except OSError:
        return
    fit = status.f_bavail * status.f_frsize // lane_bytes
    mend = "" if fit >= ROOMY_LANES else "; free some, or lower lane.records"
    yield Finding(
        not mend, f"{path}: room for {fit} more processes, {lane_bytes // 1024} KiB each{mend}"
    )


def address(wanted: Address) -> Finding:
    """Check whether a collector could listen on an address."""
    from shmetrics.http.bind import bind

    try:
        bind(wanted).close()
    except ShmetricsError as error:
        return Finding(False, str(error))
    return Finding(True, f"{wanted}: free to listen on")


def web_config(config: Config) -> Iterator[Finding]:
    """Report the web configuration file: its effect on the HTTP server, and exposed secrets.

    Raises:
        ConfigError: the file is wrong.
    """
    from shmetrics.http import exposure
    from shmetrics.http.access_rules import AccessRules

    rules = AccessRules(config.web_config).rules
    yield Finding(True, f"{config.web_config}: {exposure.demands(rules)}")
    key = rules.file.tls.key_file if rules.file.tls else ""
    for secret in filter(None, (config.web_config, key and rules.file.resolve(key))):
        if os.stat(secret).st_mode & 0o007:
            yield Finding(False, f"{secret}: all users of this node have access; chmod o= {secret}")


def destinations(config: Config) -> Iterator[Finding]:
    """Check the destinations of spans and metrics, as far as that is possible without sending."""
    from shmetrics.destinations.metrics.exporter import exporter_of
    from shmetrics.destinations.traces.trace_destinations import sender_of

    for spans in config.traces.forward:
        name = spans.destination.name
        yield _destination(name, "spans are forwarded to it", partial(sender_of, spans))
    for metrics in config.metrics.forward:
        every = f"metrics are sent to it every {metrics.interval_seconds:g} s"

        def sender(metrics: MetricsForward = metrics) -> Sender[Any]:
            return exporter_of(metrics, config.constant_labels, 0).sender

        yield _destination(metrics.to, every, sender)


def _destination(name: str, what: str, make: Callable[[], Sender[Any]]) -> Finding:
    """Check a destination.

    Args:
        name: its address, without secrets.
        what: what it gets, if nothing is wrong.
        make: makes its sender, which opens nothing.
    """
    from shmetrics.cli import missing

    try:
        make().close()
    except ImportError as error:
        return Finding(False, f"{name}: {missing(error)}")
    except ShmetricsError as error:
        return Finding(False, str(error))
    return Finding(True, f"{name}: {what}")


def collector(path: str, http_config: str = "") -> Iterator[Finding]:
    """Check whether a collector serves a runtime directory, and report its state and lanes."""
    try:
        found = collector_client.find(path, http_config)
        health = found.get("/-/healthy").decode("utf-8", "replace").strip()
        lanes = found.get_json("/api/v1/lanes")
    except collector_client.Unreachable as error:
        waiting = _waiting(path)
        also = f"; {waiting} lanes wait for it, and their events with them" if waiting else ""
        yield Finding(False, f"{error}{also}")
        return
    try:
        ready = found.get("/-/ready").decode("utf-8", "replace").strip()
        yield Finding(True, f"{found.url}: {health}, {ready}, {len(lanes)} lanes")
    except collector_client.Unreachable as error:
        yield Finding(False, str(error))
    if found.version != __version__:
        yield Finding(
            False,
            f"{found.url}: runs version {found.version}, and this is {__version__}; "
            "restart the collector",
        )
    else:
        try:
            families = found.get_json("/api/v1/left_out")
            destinations = found.get_json("/api/v1/destinations")
        except collector_client.Unreachable as error:
            yield Finding(False, str(error))
        else:
            yield from map(_left_out, families)
            yield from map(_failing, (each for each in destinations if each["problem"]))
    for lane in lanes:
        yield from _lane(lane)


def _left_out(family: Mapping[str, str]) -> Finding:
    name, escaping, reason = (printable(family[key]) for key in ("family", "escaping", "reason"))
    return Finding(
        False,
        f"{name}: left out of scrapes with escaping={escaping}: {reason}; "
        "rename it, or let Prometheus ask for escaping=allow-utf-8",
    )


def _failing(destination: Mapping[str, Any]) -> Finding:
    to, kind, problem = (printable(destination[key]) for key in ("to", "kind", "problem"))
    lost = sum(destination["dropped"].values())
    return Finding(
        False,
        f"{to}: no {kind} have arrived for {destination['failing_seconds']:.0f} s: {problem}; "
        f"{destination['waiting']} wait until it answers, {lost} are lost so far",
    )


def _waiting(path: str) -> int:
    try:
        return sum(name.endswith(".lane") for name in os.listdir(os.path.join(path, "lanes")))
    except OSError:
        return 0


def _lane(lane: dict[str, Any]) -> Iterator[Finding]:
    who = process_of(lane)
    if lane["state"] != "open":
        yield Finding(False, f"{who}: {lane['state']}: it broke the contract; restart that process")
    if lane["overflowed"]:
        without = f"{lane['overflowed']} events counted without their labels"
        yield Finding(False, f"{who}: {without}; {_MORE_ROOM}")
    if lane.get("sent_twice"):  # an older collector does not know
        yield Finding(
            False,
            f"{who}: {lane['sent_twice']} datagrams of oslo.metrics left out: its lane has these "
            "calls as well; set [oslo_messaging_metrics] metrics_enabled = false in its "
            "configuration, and the service saves their cost",
        )
    for cause, count in lane["dropped_by_cause"].items():
        mend = _MENDS.get(cause, "see the documentation")
        yield Finding(False, f"{who}: {count} events dropped ({printable(cause)}); {mend}")
    for problem in problems_of(lane):
        yield Finding(False, problem)
    listed = {refusal.get("reason") for refusal in lane.get("refusals", ())}
    for reason, count in lane["refused"].items():
        if reason not in listed:
            text = f"{count} metrics refused ({printable(reason)})"
            yield Finding(False, f"{who}: {text}; the collector's log says which")
