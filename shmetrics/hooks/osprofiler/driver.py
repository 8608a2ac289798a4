# SPDX-License-Identifier: Apache-2.0
"""OSProfiler's storage driver `shm`.

notify() runs for every span: it writes a record into the lane of the process, never raises and
never waits. Reports, which OSProfiler's command asks for, come from collectors over HTTP.
"""

from __future__ import annotations

from typing import Any, Final

from osprofiler.drivers import base

from shmetrics.emitter.spans import Spans
from shmetrics.hooks.osprofiler.collectors import Collectors
from shmetrics.hooks.osprofiler.idle import IdleTime
from shmetrics.hooks.osprofiler.values import WantedValues
from shmetrics.hooks.tracing import switches

#: More traces than a collector lists at a time.
MOST_TRACES: Final = 10_000


class Shm(base.Driver):
    """The driver for `connection_string = shm://` and `shm://host:port,host:port`.

    OSProfiler's initializer makes it with the configuration of the service. That turns on the
    sources of spans that `[profiler]` switches on, so that a service has nothing to call, and tells
    which values are kept.

    Attributes:
        spans: the spans of the service.
        wanted: the values that are kept; None: all.
    """

    def __init__(
        self,
        connection_str: str,
        project: str | None = None,
        service: str | None = None,
        host: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(connection_str, project=project, service=service, host=host, **kwargs)
        self.spans = Spans(service or "", project or "", host or "")
        self._collectors = Collectors(connection_str)
        self._idle = IdleTime()
        self.wanted: WantedValues | None = None  # None: all that is sent
        if kwargs.get("conf") is not None:
            found = switches.setup_sources(kwargs["conf"])
            self.wanted = WantedValues(found.arguments, found.parameters)

    @classmethod
    def get_name(cls) -> str:
        return "shm"

    def notify(self, info: dict[str, Any], **kwargs: Any) -> None:
        """Record an event of OSProfiler's, with the time of the record. Never raises.

        Args:
            info: a dictionary with `name` (of the span, with -start or -stop at its end),
                `base_id`, `parent_id`, `trace_id` and `info`.
            **kwargs: ignored.
        """
        name, _, what = str(info.get("name", "")).rpartition("-")
        id, base_id, parent_id = [
            str(info.get(id, "")) for id in ("trace_id", "base_id", "parent_id")
        ]
        said = info.get("info")
        if not isinstance(said, dict):
            said = None
        elif self.wanted is not None:
            said = self.wanted.of(name, said)
        if what == "stop":
            self._idle.stop(base_id)
            self.spans.stop(name, id, base_id, parent_id, said)
        else:
            said = self._idle.start(base_id, said)
            self.spans.start(name, id, base_id, parent_id, said)

    # ---- reports ----------------------------------------------------------------------------

    def get_report(self, base_id: str) -> dict[str, Any]:
        """Return the report of one trace, in OSProfiler's form. Raises ShmetricsError."""
        for found in self._collectors.ask(f"/api/v1/traces/{base_id}"):
            for span in found["spans"]:
                for event in events_of(base_id, span):
                    self._append_results(
                        event["trace_id"],
                        event["parent_id"],
                        event["name"],
                        event["project"],
                        event["service"],
                        event.get("info", {}).get("host", span["host"]),
                        event["timestamp"],
                        event,
                    )
        return dict(self._parse_results())

    def list_traces(self, fields: set[str] | None = None) -> list[dict[str, Any]]:
        """List the traces, the oldest first.

        Args:
            fields: the fields of each dictionary; None: OSProfiler's default fields.

        Returns:
            One dictionary per trace, about its first event. If several collectors know a trace,
            the earliest event counts.

        Raises:
            ShmetricsError: no collector answers.
        """
        return self._listed("", set(fields or self.default_trace_fields))

    def list_error_traces(self) -> list[dict[str, Any]]:
        """List the traces with a failed span, each by base_id and timestamp, the oldest first."""
        return self._listed("&error=1", set(self.default_trace_fields))

    def _listed(self, wanted: str, fields: set[str]) -> list[dict[str, Any]]:
        traces: dict[str, dict[str, Any]] = {}
        for found in self._collectors.ask(f"/api/v1/traces?limit={MOST_TRACES}{wanted}"):
            for trace in found:
                known = traces.setdefault(trace["base_id"], trace)
                if trace["started"] < known["started"]:
                    traces[trace["base_id"]] = trace
        listed = sorted(traces.values(), key=lambda trace: str(trace["started"]))
        return [
            {
                key: value
                for key, value in {**trace, "timestamp": trace["started"]}.items()
                if key in fields
            }
            for trace in listed
        ]


def events_of(base_id: str, span: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a span, its start and its stop if these are known, in OSProfiler's form.

    Args:
        base_id: the id of the trace.
        span: the span as a collector's API returns it.
    """
    found = []
    for what, when in (("start", "started"), ("stop", "finished")):
        if span[when] is None:
            continue
        event = {
            "name": f"{span['name']}-{what}",
            "base_id": base_id,
            "trace_id": span["trace_id"],
            "parent_id": span["parent_id"],
            "timestamp": span[when],
            "project": span["project"] or None,
            "service": span["service"] or None,
        }
        if span[f"{what}_info"]:
            event["info"] = span[f"{what}_info"]
        found.append(event)
    return found
