# SPDX-License-Identifier: Apache-2.0
"""OSProfiler's storage driver `shm`.

notify() is on the way of every span: it writes a record into the process's lane, never raises and
never waits. The reports ask collectors over HTTP, as a person with OSProfiler's command does.
"""

from __future__ import annotations

from typing import Any, Final

from osprofiler.drivers import base

from shmetrics.emitter.spans import Spans
from shmetrics.hooks.osprofiler.collectors import Collectors

#: More traces than a collector lists at a time.
MOST_TRACES: Final = 10_000


class Shm(base.Driver):
    """`connection_string = shm://`, or `shm://host:port,host:port`."""

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

    @classmethod
    def get_name(cls) -> str:
        return "shm"

    def notify(self, info: dict[str, Any], **kwargs: Any) -> None:
        """Record what OSProfiler says: a dictionary with `name` (of a span, and -start or -stop),
        `base_id`, `parent_id`, `trace_id` and `info`. Its time is that of the record."""
        name, _, what = str(info.get("name", "")).rpartition("-")
        record = self.spans.stop if what == "stop" else self.spans.start
        id, base_id, parent_id = (
            str(info.get(id, "")) for id in ("trace_id", "base_id", "parent_id")
        )
        record(name, id, base_id, parent_id, info.get("info"))

    # ---- reports ----------------------------------------------------------------------------

    def get_report(self, base_id: str) -> dict[str, Any]:
        """The report of one trace, as OSProfiler makes it. Raises ShmetricsError."""
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
        """One dictionary per trace, with these fields of what was heard of it first; the oldest
        first. Raises ShmetricsError."""
        return self._listed("", set(fields or self.default_trace_fields))

    def list_error_traces(self) -> list[dict[str, Any]]:
        """The same of those in which a span failed: base_id and timestamp."""
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
    """What OSProfiler said of a span of the collector's: its start and its stop, as far as they
    were heard."""
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
