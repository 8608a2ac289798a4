# SPDX-License-Identifier: Apache-2.0
"""`shmetrics notifications`: store traces from OSProfiler's notifications on the bus."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from shmetrics.cli.collector import file_arguments
from shmetrics.errors import ConfigError

if TYPE_CHECKING:
    import threading

    from shmetrics.traces.traces import Traces

SUMMARY = "keep the traces that OSProfiler's messaging:// driver sends over the bus, until SIGTERM"
LONGEST_LINE = 500
SILENT_SECONDS = 60.0
LATE = "not_written"
EXAMPLE = "shmetrics notifications --transport-url rabbit://user:password@broker:5672/"
URL_VARIABLE = "SHMETRICS_TRANSPORT_URL"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--transport-url",
        metavar="URL",
        default=os.environ.get(URL_VARIABLE, ""),
        help=f"the broker, as oslo.messaging has it; default: ${URL_VARIABLE}, where other users "
        "do not see its password",
    )
    parser.add_argument(
        "--topic",
        action="append",
        help="listen to this topic; may be given more than once; default: profiler, as OSProfiler "
        "sends",
    )
    parser.add_argument(
        "--exchange",
        action="append",
        help="listen in this exchange, a service's control_exchange (nova, cinder); may be given "
        "more than once; default: openstack",
    )
    parser.add_argument(
        "--pool",
        default="shmetrics",
        help="name of the queue. Each pool gets a copy of every notification, so that other pools "
        "miss none; listeners with the same pool share them; default: shmetrics",
    )
    parser.add_argument(
        "--runtime-dir",
        metavar="DIR",
        help="the collector's, whose traces these become; default: as an emitter finds it",
    )
    file_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Listen until the command is told to stop, and all that was taken is written."""
    import signal
    import sys
    import threading
    import warnings

    from shmetrics import Counter, config, runtime_dir
    from shmetrics.collector.trace_limits import trace_limits
    from shmetrics.traces.traces import Traces

    if not options.transport_url:
        raise ConfigError(
            f"--transport-url: no broker is named; give its URL here or in ${URL_VARIABLE}"
        )
    flags = {"--runtime-dir": options.runtime_dir} if options.runtime_dir else {}
    wanted = config.load(options.config, options.oslo_config, flags)
    if not wanted.traces.enabled:
        raise ConfigError(f"{options.config}: traces.enabled: false; there is nowhere to keep them")
    try:
        directory = wanted.runtime_dir or runtime_dir.find()
    except runtime_dir.Distrusted as error:
        raise ConfigError(f"{error}; use a directory of your own") from None
    path = Path(wanted.traces.path or os.path.join(directory, "traces.db"))
    _check(path)
    os.environ[runtime_dir.VARIABLE] = directory  # for the counts of this process
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries warn about each other
    from shmetrics.sources.notifications.listener import Endpoint, Listener

    _log_in_lines()
    logging.getLogger("stevedore").setLevel(logging.CRITICAL)  # what it says is raised, too
    traces = Traces(path, trace_limits(wanted.traces))
    notifications = Counter(
        "profiler_notifications", "Notifications of OSProfiler's, by result", ["result"]
    )
    endpoint = Endpoint(traces, lambda result: notifications.labels(result).inc())
    topics, exchanges = options.topic or ["profiler"], options.exchange or ["openstack"]
    listener = Listener(options.transport_url, topics, exchanges, options.pool, endpoint)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())

    def start() -> None:
        listener.start()
        print(f"shmetrics notifications is listening: {', '.join(topics)} to {path}", flush=True)
        _warn_of_silence(told, endpoint.results, listener.why_silent)

    threading.Thread(target=start, daemon=True).start()  # a broker may keep it waiting
    told.wait()
    listener.close()
    traces.close()
    print(f"shmetrics notifications: {_summary(endpoint.results, traces)}", flush=True)
    return 0


def _warn_of_silence(
    told: threading.Event, results: Mapping[str, int], why: Callable[[float], str]
) -> None:
    """Log once what may be wrong, if nothing comes for SILENT_SECONDS.

    Args:
        told: is set when the command ends.
        results: the notifications that came, by result.
        why: returns the line.
    """
    if not told.wait(SILENT_SECONDS) and not results:
        logging.getLogger(__name__).warning("%s", why(SILENT_SECONDS))


def _log_in_lines() -> None:
    """Write the logs of libraries to stderr, one line each, without tracebacks."""

    class Line(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            error = record.exc_info[1] if record.exc_info else None
            why = f": {type(error).__name__}: {error}" if error else ""
            text = " ".join(f"{record.getMessage()}{why}".split())
            return f"shmetrics: {record.levelname}: {text[:LONGEST_LINE]}"

    handler = logging.StreamHandler()
    handler.setFormatter(Line())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _check(path: Path) -> None:
    """Check whether traces can be written to a path, as far as permissions tell.

    Raises:
        ConfigError: they cannot.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: no such directory; a collector makes it when it starts")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(
            f"{path}: this user may not write to it; run this as the collector's user"
        )


def _summary(results: Mapping[str, int], traces: Traces) -> str:
    refused = sorted((name, n) for name, n in results.items() if name not in ("taken", LATE))
    why = ", ".join(f"{name} {n}" for name, n in refused)
    said = f"{results.get('taken', 0)} taken, {sum(n for _, n in refused)} refused"
    lost = results.get(LATE, 0) + sum(traces.lost().values())
    return f"{said}{f' ({why})' if why else ''}, {lost} not kept"
